// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/png_rows.hpp"

#include <png.h>

#include <csetjmp>
#include <cstdio>
#include <cstring>

#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {

namespace {

struct Source {
  const std::uint8_t* bytes;
  std::size_t left;
  char text[200];
};

// libpng's errors come as callbacks from C that must not return: they jump, so read_header() and read_rows() hold no object with
// a destructor.
void give_up(png_structp png, png_const_charp text) {
  auto* source = static_cast<Source*>(png_get_error_ptr(png));
  std::snprintf(source->text, sizeof source->text, "%s", text);
  std::longjmp(*png_set_longjmp_fn(png, std::longjmp, sizeof(std::jmp_buf)), 1);
}

void ignore(png_structp, png_const_charp) {}

void feed(png_structp png, png_bytep to, png_size_t count) {
  auto* source = static_cast<Source*>(png_get_io_ptr(png));
  if (count > source->left) png_error(png, "cut short");
  std::memcpy(to, source->bytes, count);
  source->bytes += count;
  source->left -= count;
}

bool read_header(png_structp png, png_infop info, PngHeader* header) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_user_limits(png, 100'000, 100'000);
  png_set_chunk_malloc_max(png, 1U << 24U);
  png_read_info(png, info);
  const png_byte kind = png_get_color_type(png, info);
  header->width = static_cast<int>(png_get_image_width(png, info));
  header->height = static_cast<int>(png_get_image_height(png, info));
  header->interlaced = png_get_interlace_type(png, info) != PNG_INTERLACE_NONE;
  header->grey_bytes = kind == PNG_COLOR_TYPE_GRAY && png_get_bit_depth(png, info) == 8;
  // Everything becomes one byte of grey a pixel.
  png_set_strip_16(png);
  png_set_packing(png);
  png_set_strip_alpha(png);
  png_set_expand(png);
  if ((kind & PNG_COLOR_MASK_COLOR) != 0)
    png_set_rgb_to_gray(png, PNG_ERROR_ACTION_NONE, PNG_RGB_TO_GRAY_DEFAULT, PNG_RGB_TO_GRAY_DEFAULT);
  png_read_update_info(png, info);
  return true;
}

bool read_rows(png_structp png, std::uint8_t* row, int height, const std::function<void(int, const std::uint8_t*)>& take) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  for (int y = 0; y < height; ++y) {
    png_read_row(png, row, nullptr);
    take(y, row);
  }
  png_read_end(png, nullptr);
  return true;
}

struct Reading {
  png_structp png = nullptr;
  png_infop info = nullptr;
  explicit Reading(Source& source) : png(png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, give_up, ignore)) {
    info = png != nullptr ? png_create_info_struct(png) : nullptr;
  }
  ~Reading() { png_destroy_read_struct(&png, &info, nullptr); }
  Reading(const Reading&) = delete;
  Reading& operator=(const Reading&) = delete;
};

}  // namespace

void decode_png_rows(const std::vector<std::uint8_t>& bytes, const std::string& file,
                     const std::function<const char*(const PngHeader& header)>& refuse,
                     const std::function<void(int y, const std::uint8_t* row)>& take) {
  Source source{bytes.data(), bytes.size(), "damaged"};
  Reading reading(source);
  if (reading.info == nullptr) fail(file, "cannot be decoded: libpng does not start");
  png_set_read_fn(reading.png, &source, feed);
  PngHeader header;
  if (!read_header(reading.png, reading.info, &header)) fail(file, std::string("is no whole PNG: ") + source.text);
  if (const char* const refused = refuse(header)) fail(file, refused);
  if (png_get_rowbytes(reading.png, reading.info) != static_cast<std::size_t>(header.width)) {
    fail(file, "has pixels of a kind unknown here");
  }
  std::vector<std::uint8_t> row(static_cast<std::size_t>(header.width));
  if (!read_rows(reading.png, row.data(), header.height, take)) fail(file, std::string("is no whole PNG: ") + source.text);
}

}  // namespace bevfusion
