// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cctype>
#include <initializer_list>
#include <string>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"

namespace bevfusion {

namespace {

class HeaderReader {
 public:
  HeaderReader(const std::vector<std::uint8_t>& bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  // The next number; blanks and comments (# to the end of the line) stand between numbers.
  int number(const char* field) {
    while (at_ < bytes_.size() && (std::isspace(bytes_[at_]) || bytes_[at_] == '#')) {
      if (bytes_[at_] == '#') {
        while (at_ < bytes_.size() && bytes_[at_] != '\n') ++at_;
      } else {
        ++at_;
      }
    }
    int value = 0;
    const std::size_t first = at_;
    while (at_ < bytes_.size() && std::isdigit(bytes_[at_]) && at_ - first < 7) value = 10 * value + (bytes_[at_++] - '0');
    if (at_ == first || value == 0) fail(file_, std::string("is a PPM without a ") + field);
    return value;
  }

  std::size_t position() const { return at_; }

 private:
  const std::vector<std::uint8_t>& bytes_;
  const std::string& file_;
  std::size_t at_ = 2;
};

}  // namespace

Image decode_ppm(const std::vector<std::uint8_t>& bytes, const std::string& file) {
  if (bytes.size() < 2 || bytes[0] != 'P' || bytes[1] != '6') fail(file, "is no binary PPM");
  HeaderReader header(bytes, file);
  const int width = header.number("width");
  const int height = header.number("height");
  if (header.number("largest value") != 255) fail(file, "is a PPM of other than 8 bits");
  if (static_cast<std::uint64_t>(width) * static_cast<std::uint64_t>(height) > most_pixels) {
    fail(file, "is a PPM of more than " + std::to_string(most_pixels) + " pixels");
  }
  const std::size_t first = header.position() + 1;  // one blank ends the header
  const std::size_t wanted = static_cast<std::size_t>(width) * static_cast<std::size_t>(height) * 3;
  if (bytes.size() < first || bytes.size() - first < wanted) fail(file, "is a PPM cut short");
  Image image;
  image.width = width;
  image.height = height;
  const auto begin = bytes.begin() + static_cast<std::ptrdiff_t>(first);
  image.rgb.assign(begin, begin + static_cast<std::ptrdiff_t>(wanted));
  return image;
}

std::vector<std::uint8_t> encode_ppm(const Image& image) {
  const std::string header = "P6\n" + std::to_string(image.width) + ' ' + std::to_string(image.height) + "\n255\n";
  std::vector<std::uint8_t> bytes(header.begin(), header.end());
  bytes.insert(bytes.end(), image.rgb.begin(), image.rgb.end());
  return bytes;
}

Image decode_image(const std::vector<std::uint8_t>& bytes, const std::string& file) {
  if (bytes.size() >= 2 && bytes[0] == 'P') return decode_ppm(bytes, file);
  const auto begins = [&bytes](std::initializer_list<std::uint8_t> with) {
    return bytes.size() >= with.size() && std::equal(with.begin(), with.end(), bytes.begin());
  };
  if (begins({0x89, 'P', 'N', 'G'})) fail(file, "is a PNG, whatever its name says; pictures are JPEG or PPM");
  if (!begins({0xff, 0xd8})) fail(file, "is neither a JPEG nor a PPM: a file of another kind, or damaged");
  return decode_jpeg(bytes, file);
}

Image read_image(const std::filesystem::path& file) { return decode_image(read_bytes(file), file.string()); }

}  // namespace bevfusion
