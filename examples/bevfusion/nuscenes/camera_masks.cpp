// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/camera_masks.hpp"

#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"

namespace bevfusion {

namespace {

constexpr const char* way_out = "`bevfusion synth --driving` writes them; or set model.parts.camera_segmentation to false";

std::filesystem::path list_file(const std::filesystem::path& root) { return root / "camera_masks" / "classes.json"; }

}  // namespace

bool CameraMasks::are_in(const std::filesystem::path& root) { return std::filesystem::exists(root / "camera_masks"); }

void CameraMasks::expect_in(const std::filesystem::path& root) {
  if (!are_in(root)) {
    fail(list_file(root).string(),
         std::string("is not there, so the data set has no classes of its pictures' pixels, as no release of nuScenes has; ") +
             way_out);
  }
}

CameraMasks::CameraMasks(std::filesystem::path root) : root_(std::move(root)) {
  const std::filesystem::path file = list_file(root_);
  expect_in(root_);
  if (!std::filesystem::exists(file)) {
    fail(file.string(), std::string("is not there, and masks without the names of their classes mean nothing; ") + way_out);
  }
  class_of_.fill(no_pixel_class);
  try {
    const std::vector<std::uint8_t> bytes = read_bytes(file, 1U << 20U);
    const auto names = nlohmann::json::parse(bytes.begin(), bytes.end()).get<std::vector<std::string>>();
    listed_ = names.size();
    if (names.empty() || names.size() > 255 || std::set<std::string>(names.begin(), names.end()).size() != names.size()) {
      fail(file.string(), "lists " + std::to_string(names.size()) + " classes; 1 to 255 are needed, each once");
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto found = std::find(pixel_class_names.begin(), pixel_class_names.end(), std::string_view(names[i]));
      if (found != pixel_class_names.end()) {
        class_of_[i] = static_cast<std::uint8_t>(found - pixel_class_names.begin());
      }
    }
  } catch (const nlohmann::json::exception& error) {
    fail(file.string(), std::string("is no list of the classes' names: ") + error.what());
  }
}

GreyImage CameraMasks::read(const CameraFrame& camera) const {
  const std::filesystem::path file = mask_file_of(root_, camera.file);
  if (!std::filesystem::exists(file)) {
    fail(file.string(), "is not there, and it would be the mask of " + camera.file.string() + "; " + way_out);
  }
  GreyImage mask = decode_png_grey(read_bytes(file), file.string());
  if (mask.width != camera.view.width || mask.height != camera.view.height) {
    fail(file.string(), "is " + std::to_string(mask.width) + " x " + std::to_string(mask.height) + ", and the picture is " +
                            std::to_string(camera.view.width) + " x " + std::to_string(camera.view.height));
  }
  for (std::uint8_t& value : mask.values) {
    if (value >= listed_ && value != no_pixel_class) {
      fail(file.string(), "has a pixel of class " + std::to_string(value) + ", and classes.json lists " +
                              std::to_string(listed_) + " (255 is none)");
    }
    value = class_of_[value];
  }
  return mask;
}

std::filesystem::path mask_file_of(const std::filesystem::path& root, const std::filesystem::path& picture) {
  return root / "camera_masks" / picture.parent_path().filename() / (picture.stem().string() + ".png");
}

void write_pixel_classes(const std::filesystem::path& root) {
  const std::string text =
      nlohmann::json(std::vector<std::string>(pixel_class_names.begin(), pixel_class_names.end())).dump(1) + "\n";
  write_bytes(list_file(root), text.data(), text.size());
}

}  // namespace bevfusion
