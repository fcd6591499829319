// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <string>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"

namespace bevfusion {

void write_png(const std::filesystem::path& file, const Image& image) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  if (png_image_write_to_file(&header, file.c_str(), 0, image.rgb.data(), 0, nullptr) == 0) {
    fail(file.string(), std::string("cannot be written: ") + header.message);
  }
}

}  // namespace bevfusion
