// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace bevfusion {

/// A row's name in nuScenes: 32 hexadecimal digits, kept as 128 bits. All zero stands for the empty string: no row.
struct Token {
  std::uint64_t high = 0;
  std::uint64_t low = 0;

  bool empty() const { return high == 0 && low == 0; }
  friend bool operator==(Token a, Token b) { return a.high == b.high && a.low == b.low; }
  friend bool operator!=(Token a, Token b) { return !(a == b); }
  friend bool operator<(Token a, Token b) { return a.high != b.high ? a.high < b.high : a.low < b.low; }
};

/// Reads 32 hexadecimal digits, or nothing for an empty string; else no value.
inline std::optional<Token> parse_token(std::string_view text) {
  if (text.empty()) return Token{};
  if (text.size() != 32) return std::nullopt;
  std::uint64_t half[2] = {0, 0};
  for (std::size_t i = 0; i < 32; ++i) {
    const char c = text[i];
    std::uint64_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<std::uint64_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<std::uint64_t>(c - 'a') + 10;
    } else if (c >= 'A' && c <= 'F') {
      digit = static_cast<std::uint64_t>(c - 'A') + 10;
    } else {
      return std::nullopt;
    }
    half[i / 16] = half[i / 16] << 4U | digit;
  }
  return Token{half[0], half[1]};
}

/// 32 lower-case digits; empty for the empty token.
inline std::string to_string(Token token) {
  if (token.empty()) return {};
  std::string text(32, '0');
  for (std::size_t i = 0; i < 32; ++i) {
    const std::uint64_t half = i < 16 ? token.high : token.low;
    text[i] = "0123456789abcdef"[half >> (60 - 4 * (i % 16)) & 15U];
  }
  return text;
}

}  // namespace bevfusion

template <>
struct std::hash<bevfusion::Token> {
  std::size_t operator()(bevfusion::Token token) const noexcept {
    return static_cast<std::size_t>(token.low ^ token.high * 0x9e3779b97f4a7c15ULL);
  }
};
