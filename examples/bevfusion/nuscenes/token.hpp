// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
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

namespace token_detail {
inline constexpr char digits_of_16[] = "0123456789abcdef";
inline constexpr std::size_t digit_count = 32;
inline constexpr std::size_t uuid_length = 36;

inline bool dash_before(std::size_t digit) { return digit == 8 || digit == 12 || digit == 16 || digit == 20; }

inline int value_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  // Upper case would come back as lower case: such a token is a text like any other.
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Whether the text is 32 digits, with the dashes of a UUID or without.
inline bool parse_digits(std::string_view text, bool dashes, std::uint64_t (&half)[2]) {
  std::size_t at = 0;
  for (std::size_t i = 0; i < digit_count; ++i) {
    if (dashes && dash_before(i) && text[at++] != '-') return false;
    const int digit = value_of(text[at++]);
    if (digit < 0) return false;
    half[i / 16] = half[i / 16] << 4U | static_cast<std::uint64_t>(digit);
  }
  return true;
}

// FNV-1a, with its last bits spread over all.
inline std::uint64_t hash_of(std::string_view text, std::uint64_t start) {
  std::uint64_t hash = start;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return (hash ^ hash >> 32U) * 0x9e3779b97f4a7c15ULL;
}

}  // namespace token_detail

struct Token::Shared {
  std::string text;
  std::atomic<std::size_t> holders{1};
};

inline Token::Token(std::string_view text) {
  if (text.empty()) return;
  std::uint64_t half[2] = {0, 0};
  const bool uuid = text.size() == token_detail::uuid_length;
  if ((uuid || text.size() == token_detail::digit_count) && token_detail::parse_digits(text, uuid, half)) {
    *this = Token(uuid ? Form::uuid : Form::digits, half[0], half[1]);
    return;
  }
  const auto* own = new Shared{std::string(text)};
  static_assert(sizeof(own) <= sizeof(high_), "where a text is has to fit in a number");
  low_ = token_detail::hash_of(text, 0xcbf29ce484222325ULL);
  high_ = reinterpret_cast<std::uintptr_t>(own);
  form_ = Form::text;
}

inline Token::Shared& Token::shared() const { return *reinterpret_cast<Shared*>(static_cast<std::uintptr_t>(high_)); }

inline void Token::hold() const { shared().holders.fetch_add(1, std::memory_order_relaxed); }

inline void Token::release() {
  if (shared().holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete &shared();
}

inline bool Token::same_text(const Token& other) const { return shared().text == other.shared().text; }

inline std::array<std::uint64_t, 2> Token::bits() const {
  if (form_ == Form::text) return {token_detail::hash_of(shared().text, 0x6a09e667f3bcc908ULL), low_};
  return {high_, low_};
}

inline std::string to_string(const Token& token) {
  if (token.form_ == Token::Form::none) return {};
  if (token.form_ == Token::Form::text) return token.shared().text;
  std::string text;
  text.reserve(token_detail::uuid_length);
  for (std::size_t i = 0; i < token_detail::digit_count; ++i) {
    if (token.form_ == Token::Form::uuid && token_detail::dash_before(i)) text += '-';
    const std::uint64_t half = i < 16 ? token.high_ : token.low_;
    text += token_detail::digits_of_16[half >> (60 - 4 * (i % 16)) & 15U];
  }
  return text;
}

}  // namespace bevfusion

template <>
struct std::hash<bevfusion::Token> {
  std::size_t operator()(const bevfusion::Token& token) const noexcept {
    const bool shared = token.form_ == bevfusion::Token::Form::text;
    return static_cast<std::size_t>(token.low_ ^ (shared ? 0 : token.high_ * 0x9e3779b97f4a7c15ULL));
  }
};
