// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>

namespace bevfusion {

/// A row's name: any text, told apart letter by letter; the empty one stands for no row.
///
/// nuScenes names rows by 32 lower-case hexadecimal digits in its tables and by UUIDs in its map expansion: these are kept as 128
/// bits. Other texts are kept as they are, shared between copies, which threads may hold and drop as they like.
class Token {
 public:
  Token() = default;
  explicit Token(std::string_view text);
  /// The 32 digits that two numbers make.
  static Token of_digits(std::uint64_t high, std::uint64_t low) { return Token(Form::digits, high, low); }
  /// The UUID that two numbers make.
  static Token of_uuid(std::uint64_t high, std::uint64_t low) { return Token(Form::uuid, high, low); }

  Token(const Token& other) noexcept : low_(other.low_), high_(other.high_), form_(other.form_) {
    if (form_ == Form::text) hold();
  }
  Token(Token&& other) noexcept : low_(other.low_), high_(other.high_), form_(std::exchange(other.form_, Form::none)) {}
  Token& operator=(const Token& other) noexcept { return *this = Token(other); }
  Token& operator=(Token&& other) noexcept {
    std::swap(low_, other.low_);
    std::swap(high_, other.high_);
    std::swap(form_, other.form_);
    return *this;
  }
  ~Token() {
    if (form_ == Form::text) release();
  }

  bool empty() const { return form_ == Form::none; }

  /// Numbers that follow from the text alone, for seeds: of digits and UUIDs their 128 bits, of other texts a hash.
  std::array<std::uint64_t, 2> bits() const;

  friend bool operator==(const Token& a, const Token& b) {
    if (a.form_ != b.form_ || a.form_ == Form::none) return a.form_ == b.form_;
    return a.low_ == b.low_ && (a.high_ == b.high_ || (a.form_ == Form::text && a.same_text(b)));
  }
  friend bool operator!=(const Token& a, const Token& b) { return !(a == b); }

  /// The text as it was read.
  friend std::string to_string(const Token& token);
  friend struct std::hash<Token>;

 private:
  enum class Form : std::uint8_t { none, digits, uuid, text };
  struct Shared;

  Token(Form form, std::uint64_t high, std::uint64_t low) : low_(low), high_(high), form_(form) {}
  Shared& shared() const;
  void hold() const;
  void release();
  bool same_text(const Token& other) const;

  std::uint64_t low_ = 0;   // the lower digits; of a text its hash
  std::uint64_t high_ = 0;  // the upper digits; of a text where it is
  Form form_ = Form::none;
};

}  // namespace bevfusion

template <>
struct std::hash<bevfusion::Token> {
  std::size_t operator()(const bevfusion::Token& token) const noexcept {
    const bool shared = token.form_ == bevfusion::Token::Form::text;
    return static_cast<std::size_t>(token.low_ ^ (shared ? 0 : token.high_ * 0x9e3779b97f4a7c15ULL));
  }
};
