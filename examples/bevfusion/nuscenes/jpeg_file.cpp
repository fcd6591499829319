// SPDX-License-Identifier: Apache-2.0
#include <csetjmp>
#include <cstdio>
#include <cstdlib>
#include <utility>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"

// libjpeg's headers want <cstdio> before them.
#include <jerror.h>
#include <jpeglib.h>

namespace bevfusion {

namespace {

// libjpeg reports by callbacks that must not return; what it calls is C, so they jump instead of throwing. No object with a
// destructor may live in a function that is jumped over: decode() and encode() below hold none.
struct Reports {
  jpeg_error_mgr manager;
  std::jmp_buf back;
  char text[JMSG_LENGTH_MAX];
};

Reports& reports_of(j_common_ptr info) { return *reinterpret_cast<Reports*>(info->err); }

void give_up(j_common_ptr info) {
  Reports& reports = reports_of(info);
  info->err->format_message(info, reports.text);
  std::longjmp(reports.back, 1);
}

void hear(j_common_ptr info, int level) {
  // A warning: libjpeg would fill what is missing with grey. Damage is an error here; oddities that lose nothing are not.
  if (level >= 0) return;
  switch (info->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_BOGUS_PROGRESSION:
    case JWRN_NOT_SEQUENTIAL:
      give_up(info);
      break;
    default:
      break;
  }
}

// Damaged progressive files may ask for thousands of passes over the picture.
void watch(j_common_ptr info) {
  if (reinterpret_cast<j_decompress_ptr>(info)->input_scan_number > 100) {
    std::snprintf(reports_of(info).text, JMSG_LENGTH_MAX, "more than 100 scans");
    std::longjmp(reports_of(info).back, 1);
  }
}

void listen(Reports& reports) {
  jpeg_std_error(&reports.manager);
  reports.manager.error_exit = give_up;
  reports.manager.emit_message = hear;
  reports.text[0] = '\0';
}

struct Decoder {
  jpeg_decompress_struct info{};
  Reports reports{};
  jpeg_progress_mgr progress{};
};

bool read_header(Decoder& d, const std::uint8_t* bytes, std::size_t count) {
  if (setjmp(d.reports.back) != 0) return false;
  jpeg_create_decompress(&d.info);
  d.info.progress = &d.progress;
  jpeg_mem_src(&d.info, bytes, static_cast<unsigned long>(count));
  jpeg_read_header(&d.info, TRUE);
  d.info.out_color_space = JCS_RGB;
  return true;
}

bool read_rows(Decoder& d, std::uint8_t* rgb) {
  if (setjmp(d.reports.back) != 0) return false;
  jpeg_start_decompress(&d.info);
  while (d.info.output_scanline < d.info.output_height) {
    JSAMPROW row = rgb + static_cast<std::size_t>(d.info.output_scanline) * d.info.output_width * 3;
    jpeg_read_scanlines(&d.info, &row, 1);
  }
  jpeg_finish_decompress(&d.info);
  return true;
}

struct Encoder {
  jpeg_compress_struct info{};
  Reports reports{};
  unsigned char* bytes = nullptr;
  unsigned long count = 0;
};

bool write_rows(Encoder& e, const Image& image, int quality) {
  if (setjmp(e.reports.back) != 0) return false;
  jpeg_create_compress(&e.info);
  jpeg_mem_dest(&e.info, &e.bytes, &e.count);
  e.info.image_width = static_cast<JDIMENSION>(image.width);
  e.info.image_height = static_cast<JDIMENSION>(image.height);
  e.info.input_components = 3;
  e.info.in_color_space = JCS_RGB;
  jpeg_set_defaults(&e.info);
  jpeg_set_quality(&e.info, quality, TRUE);
  jpeg_start_compress(&e.info, TRUE);
  while (e.info.next_scanline < e.info.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(image.pixel(0, static_cast<int>(e.info.next_scanline)));
    jpeg_write_scanlines(&e.info, &row, 1);
  }
  jpeg_finish_compress(&e.info);
  return true;
}

}  // namespace

Image decode_jpeg(const std::vector<std::uint8_t>& bytes, const std::string& file) {
  Decoder d;
  d.info.err = &d.reports.manager;
  listen(d.reports);
  d.progress.progress_monitor = watch;
  Image image;
  bool good = read_header(d, bytes.data(), bytes.size());
  if (good && static_cast<std::uint64_t>(d.info.image_width) * d.info.image_height > most_pixels) {
    jpeg_destroy_decompress(&d.info);
    fail(file, "is a JPEG of more than " + std::to_string(most_pixels) + " pixels");
  }
  if (good) {
    image.width = static_cast<int>(d.info.image_width);
    image.height = static_cast<int>(d.info.image_height);
    image.rgb.resize(3 * static_cast<std::size_t>(image.width) * static_cast<std::size_t>(image.height));
    good = read_rows(d, image.rgb.data());
  }
  const std::string text = d.reports.text;
  jpeg_destroy_decompress(&d.info);
  if (!good) fail(file, "is no whole JPEG: " + text);
  return image;
}

std::vector<std::uint8_t> encode_jpeg(const Image& image, int quality) {
  Encoder e;
  e.info.err = &e.reports.manager;
  listen(e.reports);
  const bool good = write_rows(e, image, quality);
  std::vector<std::uint8_t> bytes;
  if (good) bytes.assign(e.bytes, e.bytes + e.count);
  const std::string text = e.reports.text;
  jpeg_destroy_compress(&e.info);
  std::free(e.bytes);
  if (!good) throw DataError("a picture cannot be written as JPEG: " + text);
  return bytes;
}

}  // namespace bevfusion
