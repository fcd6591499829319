// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace bevfusion {

/// CRC-32C (Castagnoli; polynomial 0x1EDC6F41, reflected 0x82F63B78): the checksum of TFRecord files.
inline std::uint32_t crc32c(std::string_view bytes) {
  static const std::array<std::uint32_t, 256> table = [] {
    std::array<std::uint32_t, 256> entries{};
    for (std::uint32_t value = 0; value < 256; ++value) {
      std::uint32_t rest = value;
      for (int bit = 0; bit < 8; ++bit) {
        rest = rest >> 1U ^ ((rest & 1U) != 0 ? 0x82F63B78U : 0U);
      }
      entries[value] = rest;
    }
    return entries;
  }();
  std::uint32_t rest = 0xFFFFFFFFU;
  for (const char byte : bytes) {
    rest = table[(rest ^ static_cast<unsigned char>(byte)) & 0xFFU] ^ rest >> 8U;
  }
  return rest ^ 0xFFFFFFFFU;
}

/// As TFRecord files store it: rotated by 15 bits and offset, so that a checksum of data with checksums in it is none by chance.
inline std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15U | crc << 17U) + 0xA282EAD8U;
}

}  // namespace bevfusion
