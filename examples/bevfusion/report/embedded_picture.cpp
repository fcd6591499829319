// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/embedded_picture.hpp"

#include <algorithm>
#include <stdexcept>

#include <png.h>

#include "support/png.hpp"

namespace bevfusion {
namespace {

constexpr std::uint64_t most_pixels = 64'000'000;

EmbeddedPicture part_of(const EmbeddedPicture& picture, std::uint32_t first, std::uint32_t width) {
  EmbeddedPicture out{width, picture.height, {}};
  for (std::uint32_t y = 0; y < picture.height; ++y) {
    const auto row = picture.rgb.begin() + static_cast<std::ptrdiff_t>(3 * (std::size_t{y} * picture.width + first));
    out.rgb.insert(out.rgb.end(), row, row + static_cast<std::ptrdiff_t>(3 * std::size_t{width}));
  }
  return out;
}

}  // namespace

EmbeddedPicture read_png(const std::filesystem::path& file) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  if (png_image_begin_read_from_file(&image, file.c_str()) == 0) {
    throw std::runtime_error(file.string() + ": " + image.message);
  }
  if (std::uint64_t{image.width} * image.height > most_pixels) {
    png_image_free(&image);
    throw std::runtime_error(file.string() + ": larger than 64 million pixels");
  }
  image.format = PNG_FORMAT_RGB;
  EmbeddedPicture out{image.width, image.height, std::vector<std::uint8_t>(PNG_IMAGE_SIZE(image))};
  if (png_image_finish_read(&image, nullptr, out.rgb.data(), 0, nullptr) == 0) {
    throw std::runtime_error(file.string() + ": " + image.message);
  }
  return out;
}

EmbeddedPicture left_square(const EmbeddedPicture& picture) {
  return part_of(picture, 0, std::min(picture.width, picture.height));
}

EmbeddedPicture right_square(const EmbeddedPicture& picture) {
  const std::uint32_t width = std::min(picture.width, picture.height);
  return part_of(picture, picture.width - width, width);
}

std::optional<EmbeddedPicture> middle_square(const EmbeddedPicture& picture) {
  if (picture.width / 3 < picture.height) {
    return std::nullopt;
  }
  return part_of(picture, (picture.width - picture.height) / 2, picture.height);
}

EmbeddedPicture no_wider_than(const EmbeddedPicture& picture, std::uint32_t width) {
  const std::uint32_t factor = width == 0 ? 1 : (picture.width + width - 1) / width;
  if (factor <= 1) {
    return picture;
  }
  EmbeddedPicture out{picture.width / factor, picture.height / factor, {}};
  out.rgb.reserve(3 * std::size_t{out.width} * out.height);
  for (std::uint32_t y = 0; y < out.height; ++y) {
    for (std::uint32_t x = 0; x < out.width; ++x) {
      for (std::size_t c = 0; c < 3; ++c) {
        std::uint32_t sum = 0;
        for (std::uint32_t dy = 0; dy < factor; ++dy) {
          for (std::uint32_t dx = 0; dx < factor; ++dx) {
            sum += picture.rgb[3 * (std::size_t{y * factor + dy} * picture.width + x * factor + dx) + c];
          }
        }
        out.rgb.push_back(static_cast<std::uint8_t>((sum + factor * factor / 2) / (factor * factor)));
      }
    }
  }
  return out;
}

std::string data_uri(const EmbeddedPicture& picture) {
  png_image image{};
  image.version = PNG_IMAGE_VERSION;
  image.width = picture.width;
  image.height = picture.height;
  image.format = PNG_FORMAT_RGB;
  png_alloc_size_t size = PNG_IMAGE_PNG_SIZE_MAX(image);
  std::string bytes(size, '\0');
  if (png_image_write_to_memory(&image, &bytes[0], &size, 0, picture.rgb.data(), 0, nullptr) == 0) {
    throw std::runtime_error(std::string("a picture of the page: ") + image.message);
  }
  bytes.resize(size);
  return "data:image/png;base64," + example::base64(bytes);
}

}  // namespace bevfusion
