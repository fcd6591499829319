// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <cstdint>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"

namespace bevfusion {

void write_png(const std::filesystem::path& file, const Image& image) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(image.width);
  header.height = static_cast<png_uint_32>(image.height);
  header.format = PNG_FORMAT_RGB;
  std::vector<std::uint8_t> bytes(PNG_IMAGE_PNG_SIZE_MAX(header));
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&header, bytes.data(), &size, 0, image.rgb.data(), 0, nullptr) == 0) {
    fail(file.string(), std::string("cannot be made: ") + header.message);
  }
  write_bytes(file, bytes.data(), size);
}

}  // namespace bevfusion
