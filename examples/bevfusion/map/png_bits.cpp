// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <csetjmp>
#include <cstdio>

#include "bevfusion/map/base_map.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/png_rows.hpp"

namespace bevfusion {

namespace {

constexpr std::uint64_t most_map_pixels = 600'000'000;

// libpng's errors come as callbacks from C that must not return: they jump, so write_rows() holds no object with a destructor.
struct Errors {
  char text[200];
};

void give_up(png_structp png, png_const_charp text) {
  auto* errors = static_cast<Errors*>(png_get_error_ptr(png));
  std::snprintf(errors->text, sizeof errors->text, "%s", text);
  std::longjmp(*png_set_longjmp_fn(png, std::longjmp, sizeof(std::jmp_buf)), 1);
}

void ignore(png_structp, png_const_charp) {}

void keep(png_structp png, png_bytep bytes, png_size_t count) {
  auto* all = static_cast<std::vector<std::uint8_t>*>(png_get_io_ptr(png));
  all->insert(all->end(), bytes, bytes + count);
}

bool write_rows(png_structp png, png_infop info, std::vector<std::uint8_t>* out, std::uint8_t* row, const BitImage* image) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_write_fn(png, out, keep, nullptr);
  png_set_compression_level(png, 1);
  png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_UP);
  png_set_IHDR(png, info, static_cast<png_uint_32>(image->width), static_cast<png_uint_32>(image->height), 8, PNG_COLOR_TYPE_GRAY,
               PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  for (int y = 0; y < image->height; ++y) {
    for (int x = 0; x < image->width; ++x) row[x] = image->get(x, y) ? 255 : 0;
    png_write_row(png, row);
  }
  png_write_end(png, nullptr);
  return true;
}

}  // namespace

BitImage decode_png_bits(const std::vector<std::uint8_t>& bytes, const std::string& file) {
  BitImage image;
  const auto refuse = [&image](const PngHeader& header) -> const char* {
    if (static_cast<std::uint64_t>(header.width) * static_cast<std::uint64_t>(header.height) > most_map_pixels)
      return "has more than 600 million pixels";
    if (header.interlaced) return "is interlaced, which no base map is";
    image = BitImage(header.width, header.height);
    return nullptr;
  };
  decode_png_rows(bytes, file, refuse, [&image](int y, const std::uint8_t* row) {
    for (int x = 0; x < image.width; ++x) {
      if (row[x] > 127) image.set(x, y);
    }
  });
  return image;
}

void write_png_bits(const std::filesystem::path& file, const BitImage& image) {
  Errors errors{"cannot be made"};
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &errors, give_up, ignore);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  std::vector<std::uint8_t> bytes;
  std::vector<std::uint8_t> row(static_cast<std::size_t>(image.width));
  const bool good = info != nullptr && write_rows(png, info, &bytes, row.data(), &image);
  png_destroy_write_struct(&png, &info);
  if (!good) fail(file.string(), errors.text);
  write_bytes(file, bytes.data(), bytes.size());
}

BaseMap BaseMap::read(const std::filesystem::path& file) { return BaseMap(decode_png_bits(read_bytes(file), file.string())); }

}  // namespace bevfusion
