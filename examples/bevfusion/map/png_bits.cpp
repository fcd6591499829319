// SPDX-License-Identifier: Apache-2.0
#include <png.h>

#include <csetjmp>
#include <cstring>

#include "bevfusion/map/base_map.hpp"
#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"

namespace bevfusion {

namespace {

constexpr std::uint64_t most_map_pixels = 600'000'000;

struct Source {
  const std::uint8_t* bytes;
  std::size_t left;
  char text[200];
};

// libpng's errors come as callbacks from C that must not return: they jump, so decode_rows() and read_header() hold no object
// with a destructor.
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

struct Header {
  png_uint_32 width = 0;
  png_uint_32 height = 0;
  bool interlaced = false;
};

bool read_header(png_structp png, png_infop info, Header* header) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  png_set_user_limits(png, 100'000, 100'000);
  png_set_chunk_malloc_max(png, 1U << 24U);
  png_read_info(png, info);
  header->width = png_get_image_width(png, info);
  header->height = png_get_image_height(png, info);
  header->interlaced = png_get_interlace_type(png, info) != PNG_INTERLACE_NONE;
  // Everything becomes one byte of grey a pixel.
  png_set_strip_16(png);
  png_set_packing(png);
  png_set_strip_alpha(png);
  png_set_expand(png);
  const png_byte kind = png_get_color_type(png, info);
  if ((kind & PNG_COLOR_MASK_COLOR) != 0)
    png_set_rgb_to_gray(png, PNG_ERROR_ACTION_NONE, PNG_RGB_TO_GRAY_DEFAULT, PNG_RGB_TO_GRAY_DEFAULT);
  png_read_update_info(png, info);
  return true;
}

bool read_rows(png_structp png, std::uint8_t* row, BitImage* image) {
  if (setjmp(png_jmpbuf(png)) != 0) return false;
  for (int y = 0; y < image->height; ++y) {
    png_read_row(png, row, nullptr);
    for (int x = 0; x < image->width; ++x) {
      if (row[x] > 127) image->set(x, y);
    }
  }
  png_read_end(png, nullptr);
  return true;
}

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
  Source source{bytes.data(), bytes.size(), "damaged"};
  png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &source, give_up, ignore);
  png_infop info = png != nullptr ? png_create_info_struct(png) : nullptr;
  if (info == nullptr) {
    png_destroy_read_struct(&png, nullptr, nullptr);
    fail(file, "cannot be decoded: libpng does not start");
  }
  png_set_read_fn(png, &source, feed);
  Header header;
  bool good = read_header(png, info, &header);
  const char* refused = nullptr;
  if (good && static_cast<std::uint64_t>(header.width) * header.height > most_map_pixels)
    refused = "has more than 600 million pixels";
  if (good && header.interlaced) refused = "is interlaced, which no base map is";
  if (good && refused == nullptr && png_get_rowbytes(png, info) != header.width) refused = "has pixels of a kind unknown here";
  BitImage image;
  if (good && refused == nullptr) {
    image = BitImage(static_cast<int>(header.width), static_cast<int>(header.height));
    std::vector<std::uint8_t> row(header.width);
    good = read_rows(png, row.data(), &image);
  }
  png_destroy_read_struct(&png, &info, nullptr);
  if (refused != nullptr) fail(file, refused);
  if (!good) fail(file, std::string("is no whole PNG: ") + source.text);
  return image;
}

void write_png_bits(const std::filesystem::path& file, const BitImage& image) {
  Source errors{nullptr, 0, "cannot be made"};
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
