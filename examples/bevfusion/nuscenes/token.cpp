// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/token.hpp"

#include <atomic>

namespace bevfusion {

struct Token::Shared {
  std::string text;
  std::atomic<std::size_t> holders{1};
};

namespace {

constexpr char digits_of_16[] = "0123456789abcdef";
constexpr std::size_t digit_count = 32;
constexpr std::size_t uuid_length = 36;

bool dash_before(std::size_t digit) { return digit == 8 || digit == 12 || digit == 16 || digit == 20; }

int value_of(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  // Upper case would come back as lower case: such a token is a text like any other.
  return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

// Whether the text is 32 digits, with the dashes of a UUID or without.
bool parse(std::string_view text, bool dashes, std::uint64_t (&half)[2]) {
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
std::uint64_t hash_of(std::string_view text, std::uint64_t start) {
  std::uint64_t hash = start;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return (hash ^ hash >> 32U) * 0x9e3779b97f4a7c15ULL;
}

}  // namespace

Token::Token(std::string_view text) {
  if (text.empty()) return;
  std::uint64_t half[2] = {0, 0};
  const bool uuid = text.size() == uuid_length;
  if ((uuid || text.size() == digit_count) && parse(text, uuid, half)) {
    *this = Token(uuid ? Form::uuid : Form::digits, half[0], half[1]);
    return;
  }
  const auto* own = new Shared{std::string(text)};
  static_assert(sizeof(own) <= sizeof(high_), "where a text is has to fit in a number");
  low_ = hash_of(text, 0xcbf29ce484222325ULL);
  high_ = reinterpret_cast<std::uintptr_t>(own);
  form_ = Form::text;
}

Token::Shared& Token::shared() const { return *reinterpret_cast<Shared*>(static_cast<std::uintptr_t>(high_)); }

void Token::hold() const { shared().holders.fetch_add(1, std::memory_order_relaxed); }

void Token::release() {
  if (shared().holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete &shared();
}

bool Token::same_text(const Token& other) const { return shared().text == other.shared().text; }

std::array<std::uint64_t, 2> Token::bits() const {
  if (form_ == Form::text) return {hash_of(shared().text, 0x6a09e667f3bcc908ULL), low_};
  return {high_, low_};
}

std::string to_string(const Token& token) {
  if (token.form_ == Token::Form::none) return {};
  if (token.form_ == Token::Form::text) return token.shared().text;
  std::string text;
  text.reserve(uuid_length);
  for (std::size_t i = 0; i < digit_count; ++i) {
    if (token.form_ == Token::Form::uuid && dash_before(i)) text += '-';
    const std::uint64_t half = i < 16 ? token.high_ : token.low_;
    text += digits_of_16[half >> (60 - 4 * (i % 16)) & 15U];
  }
  return text;
}

}  // namespace bevfusion
