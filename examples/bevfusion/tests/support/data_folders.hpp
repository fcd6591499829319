// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <random>
#include <string>

namespace bevfusion::testing {

/// A new, empty folder for as long as the object lives.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::random_device device;
    path_ = std::filesystem::temp_directory_path() / ("bevfusion-" + std::to_string(device()) + std::to_string(device()));
    std::filesystem::create_directories(path_);
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The folder with one real key frame: that of FULLER_NUSCENES_KEYFRAME, or shared/data/nuscenes-keyframe beside the checkout.
/// Empty where there is none.
inline std::filesystem::path real_key_frame() {
  std::filesystem::path folder = std::filesystem::path(FULLER_SOURCE_DIR) / ".." / "shared" / "data" / "nuscenes-keyframe";
  if (const char* named = std::getenv("FULLER_NUSCENES_KEYFRAME")) folder = named;
  return std::filesystem::is_directory(folder / "v1.0-mini") ? folder : std::filesystem::path();
}

}  // namespace bevfusion::testing
