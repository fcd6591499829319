// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace bevfusion {

/// CRC-32C (Castagnoli; polynomial 0x1EDC6F41, reflected 0x82F63B78), the checksum of TFRecord files and of checkpoints, of bytes
/// that come in pieces.
class Crc32c {
 public:
  void add(std::string_view bytes) {
    const Tables& of = tables();
    std::size_t at = 0;
    // Eight bytes a turn: entry [k][b] is what byte b does k bytes later ("slicing by eight").
    for (; at + 8 <= bytes.size(); at += 8) {
      std::array<unsigned char, 8> b{};
      for (std::size_t k = 0; k < 8; ++k) {
        b[k] = static_cast<unsigned char>(bytes[at + k]);
      }
      const auto mixed = [&](std::size_t k) { return b[k] ^ (rest_ >> 8 * k & 0xFFU); };
      rest_ = of[7][mixed(0)] ^ of[6][mixed(1)] ^ of[5][mixed(2)] ^ of[4][mixed(3)] ^ of[3][b[4]] ^ of[2][b[5]] ^ of[1][b[6]] ^
              of[0][b[7]];
    }
    for (; at < bytes.size(); ++at) {
      rest_ = of[0][(rest_ ^ static_cast<unsigned char>(bytes[at])) & 0xFFU] ^ rest_ >> 8U;
    }
  }
  std::uint32_t value() const { return rest_ ^ 0xFFFFFFFFU; }

 private:
  using Tables = std::array<std::array<std::uint32_t, 256>, 8>;

  static const Tables& tables() {
    static const Tables made = [] {
      Tables entries{};
      for (std::uint32_t value = 0; value < 256; ++value) {
        std::uint32_t rest = value;
        for (int bit = 0; bit < 8; ++bit) {
          rest = rest >> 1U ^ ((rest & 1U) != 0 ? 0x82F63B78U : 0U);
        }
        entries[0][value] = rest;
      }
      for (std::size_t k = 1; k < 8; ++k) {
        for (std::size_t value = 0; value < 256; ++value) {
          entries[k][value] = entries[k - 1][value] >> 8U ^ entries[0][entries[k - 1][value] & 0xFFU];
        }
      }
      return entries;
    }();
    return made;
  }

  std::uint32_t rest_ = 0xFFFFFFFFU;
};

inline std::uint32_t crc32c(std::string_view bytes) {
  Crc32c sum;
  sum.add(bytes);
  return sum.value();
}

/// As TFRecord files store it: rotated by 15 bits and offset, so that a checksum of data with checksums in it is none by chance.
inline std::uint32_t masked_crc32c(std::string_view bytes) {
  const std::uint32_t crc = crc32c(bytes);
  return (crc >> 15U | crc << 17U) + 0xA282EAD8U;
}

}  // namespace bevfusion
