// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <zlib.h>

namespace example {

/// A grey picture of 8 bits as a PNG file (ISO/IEC 15948), row by row from the top.
inline std::string png(const std::vector<std::uint8_t>& pixels, std::uint32_t width, std::uint32_t height) {
  if (width == 0 || height == 0 || pixels.size() != std::size_t{width} * height) {
    throw std::invalid_argument("png: the number of pixels is not width times height");
  }
  const auto number = [](std::uint32_t value) {
    std::string bytes;
    for (const int shift : {24, 16, 8, 0}) {
      bytes += static_cast<char>((value >> shift) & 255);
    }
    return bytes;
  };
  const auto chunk = [&](const std::string& kind, const std::string& content) {
    const std::string checked = kind + content;
    const auto sum = crc32(0, reinterpret_cast<const Bytef*>(checked.data()), static_cast<uInt>(checked.size()));
    return number(static_cast<std::uint32_t>(content.size())) + checked + number(static_cast<std::uint32_t>(sum));
  };
  std::string rows;
  for (std::uint32_t row = 0; row < height; ++row) {
    rows += '\0';  // filter type: none
    rows.append(reinterpret_cast<const char*>(pixels.data()) + std::size_t{row} * width, width);
  }
  uLongf size = compressBound(static_cast<uLong>(rows.size()));
  std::string packed(size, '\0');
  if (compress(reinterpret_cast<Bytef*>(&packed[0]), &size, reinterpret_cast<const Bytef*>(rows.data()),
               static_cast<uLong>(rows.size())) != Z_OK) {
    throw std::runtime_error("png: compression failed");
  }
  packed.resize(size);
  const std::string header = number(width) + number(height) + std::string("\x08\x00\x00\x00\x00", 5);
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("IDAT", packed) + chunk("IEND", "");
}

/// Base64 (RFC 4648), as data URIs need it.
inline std::string base64(const std::string& bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      group = (group << 8) | (i + k < bytes.size() ? static_cast<std::uint8_t>(bytes[i + k]) : 0);
    }
    for (std::size_t k = 0; k < 4; ++k) {
      text += i + k <= bytes.size() ? digits[(group >> (18 - 6 * k)) & 63] : '=';
    }
  }
  return text;
}

}  // namespace example
