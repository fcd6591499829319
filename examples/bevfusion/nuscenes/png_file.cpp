// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/png_rows.hpp"

namespace bevfusion {

namespace {

void write_pixels(const std::filesystem::path& file, int width, int height, png_uint_32 format, const std::uint8_t* pixels) {
  png_image header{};
  header.version = PNG_IMAGE_VERSION;
  header.width = static_cast<png_uint_32>(width);
  header.height = static_cast<png_uint_32>(height);
  header.format = format;
  std::vector<std::uint8_t> bytes(PNG_IMAGE_PNG_SIZE_MAX(header));
  png_alloc_size_t size = bytes.size();
  if (png_image_write_to_memory(&header, bytes.data(), &size, 0, pixels, 0, nullptr) == 0) {
    fail(file.string(), std::string("cannot be made: ") + header.message);
  }
  write_bytes(file, bytes.data(), size);
}

}  // namespace

void write_png(const std::filesystem::path& file, const Image& image) {
  write_pixels(file, image.width, image.height, PNG_FORMAT_RGB, image.rgb.data());
}

void write_png(const std::filesystem::path& file, const GreyImage& image) {
  write_pixels(file, image.width, image.height, PNG_FORMAT_GRAY, image.values.data());
}

GreyImage decode_png_grey(const std::vector<std::uint8_t>& bytes, const std::string& file) {
  GreyImage image;
  const auto refuse = [&image](const PngHeader& header) -> const char* {
    if (static_cast<std::uint64_t>(header.width) * static_cast<std::uint64_t>(header.height) > most_pixels)
      return "has more than 64 million pixels";
    if (header.interlaced) return "is interlaced; a PNG that is not is needed";
    if (!header.grey_bytes) return "has other pixels than one byte of grey";
    image = GreyImage(header.width, header.height);
    return nullptr;
  };
  decode_png_rows(bytes, file, refuse,
                  [&image](int y, const std::uint8_t* row) { std::copy_n(row, image.width, &image.at(0, y)); });
  return image;
}

}  // namespace bevfusion
