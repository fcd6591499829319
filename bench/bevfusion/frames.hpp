// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <unistd.h>

#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/synth/generate.hpp"

namespace bench {

/// A data set on disk, with its tables; a made one is removed with this.
class DataSet {
 public:
  DataSet(std::filesystem::path root, const std::string& version, bool temporary)
      : root_(std::move(root)), temporary_(temporary), tables_(bevfusion::read_tables(root_, version)) {}
  ~DataSet() {
    if (temporary_) {
      std::error_code ignored;
      std::filesystem::remove_all(root_, ignored);
    }
  }
  DataSet(const DataSet&) = delete;
  DataSet& operator=(const DataSet&) = delete;

  const bevfusion::Tables& tables() const { return tables_; }

  /// A sample as training takes it, without augmentation.
  bevfusion::Batch batch(const bevfusion::ModelConfig& config) const {
    bevfusion::LoadingOptions options = bevfusion::loading_options(config);
    options.augment = false;
    return bevfusion::collate({bevfusion::SampleLoader(tables_, options).load(0, 0)});
  }

 private:
  std::filesystem::path root_;
  bool temporary_;
  bevfusion::Tables tables_;
};

/// The folder with the real key frame: FULLER_NUSCENES_KEYFRAME, or beside the checkout. Empty where there is none.
inline std::filesystem::path key_frame_folder() {
  std::filesystem::path folder = std::filesystem::path(FULLER_SOURCE_DIR) / ".." / "shared" / "data" / "nuscenes-keyframe";
  if (const char* named = std::getenv("FULLER_NUSCENES_KEYFRAME")) {
    folder = named;
  }
  return std::filesystem::is_directory(folder / "v1.0-mini") ? folder : std::filesystem::path();
}

/// The real key frame, nothing where there is none; and a synthetic scene at the real sensors' sizes. Each is opened once.
inline const DataSet* key_frame() {
  static const std::unique_ptr<DataSet> set = [] {
    const std::filesystem::path folder = key_frame_folder();
    return folder.empty() ? nullptr : std::make_unique<DataSet>(folder, "v1.0-mini", false);
  }();
  return set.get();
}

inline const DataSet& synthetic() {
  static const std::unique_ptr<DataSet> set = [] {
    bevfusion::SynthOptions options;
    options.out = std::filesystem::temp_directory_path() / ("bevfusion-bench-" + std::to_string(getpid()));
    options.scenes = 1;
    options.samples = 4;
    options.validation_share = 0;
    bevfusion::generate(options);
    return std::make_unique<DataSet>(options.out, options.version, true);
  }();
  return *set;
}

/// The real frame where there is one, else the synthetic.
inline const DataSet& frame() { return key_frame() != nullptr ? *key_frame() : synthetic(); }

}  // namespace bench
