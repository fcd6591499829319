// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/json_batches.hpp"

#ifdef BEVFUSION_SIMDJSON

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string_view>
#include <vector>

#include <simdjson.h>

namespace bevfusion {

namespace {

using Element = simdjson::dom::element;

bool is_space(char c) { return c == ' ' || c == '\n' || c == '\r' || c == '\t'; }

// What is of this kind, as its type() said.
template <typename T>
T as(const Element& value) {
  T held{};
  if (value.get<T>().get(held) != simdjson::SUCCESS) throw std::logic_error("simdjson: a value is not of its type()");
  return held;
}

void hand_over(const Element& value, JsonRowsBuilder& builder) {
  switch (value.type()) {
    case simdjson::dom::element_type::NULL_VALUE:
      return builder.null();
    case simdjson::dom::element_type::BOOL:
      return builder.flag(as<bool>(value));
    case simdjson::dom::element_type::INT64:
      return builder.whole(as<std::int64_t>(value));
    case simdjson::dom::element_type::UINT64:  // only what INT64 does not hold
      return builder.real(static_cast<double>(as<std::uint64_t>(value)));
    case simdjson::dom::element_type::DOUBLE:
      return builder.real(as<double>(value));
    case simdjson::dom::element_type::STRING:
      return builder.text(as<std::string_view>(value));
    case simdjson::dom::element_type::ARRAY:
      builder.open_array();
      for (const Element item : as<simdjson::dom::array>(value)) hand_over(item, builder);
      return builder.close_array();
    case simdjson::dom::element_type::OBJECT:
      builder.open_object();
      for (const simdjson::dom::key_value_pair field : as<simdjson::dom::object>(value)) {
        builder.key(field.key);
        if (builder.keeps_value()) hand_over(field.value, builder);
      }
      return builder.close_object();
  }
}

/// A piece of the file, from one row's beginning on.
class Window {
 public:
  explicit Window(std::istream& stream) : stream_(stream), bytes_(most + simdjson::SIMDJSON_PADDING) {}

  /// Moves what was not taken to the front, and reads on.
  void refill() {
    std::memmove(bytes_.data(), bytes_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    stream_.read(bytes_.data() + end_, static_cast<std::streamsize>(most - end_));
    end_ += static_cast<std::size_t>(stream_.gcount());
  }

  bool at_end() const { return stream_.eof(); }
  /// What was neither taken nor read over.
  std::string_view rest() const { return {bytes_.data() + begin_, end_ - begin_}; }
  /// A byte of rest(), to be written over.
  char& operator[](std::size_t at) { return bytes_[begin_ + at]; }
  void take(std::size_t count) { begin_ += count; }

 private:
  // As much as stays in a core's cache.
  static constexpr std::size_t most = std::size_t{1} << 19U;

  std::istream& stream_;
  std::vector<char> bytes_;
  std::size_t begin_ = 0;
  std::size_t end_ = 0;
};

/// Where a comma lies between two objects, the last one. It may lie in a string or deeper than rows do: then what is in front of
/// it is no array.
std::optional<std::size_t> last_comma(std::string_view text) {
  for (std::size_t at = text.size(); at > 0;) {
    at = text.rfind(',', at - 1);
    if (at == std::string_view::npos) return std::nullopt;
    std::size_t before = at;
    while (before > 0 && is_space(text[before - 1])) --before;
    std::size_t after = at + 1;
    while (after < text.size() && is_space(text[after])) ++after;
    if (before > 0 && text[before - 1] == '}' && after < text.size() && text[after] == '{') return at;
  }
  return std::nullopt;
}

class Batches {
 public:
  Batches(std::istream& stream, JsonRowsBuilder& builder) : window_(stream), builder_(builder) {}

  bool visit() {
    window_.refill();
    const std::string_view text = window_.rest();
    const auto first = std::find_if_not(text.begin(), text.end(), is_space);
    if (first == text.end() || *first != '[') return false;
    window_.take(static_cast<std::size_t>(first - text.begin()));
    builder_.open_array();
    for (;;) {
      if (window_.at_end()) {
        if (!rows(window_.rest().size())) return false;
        builder_.close_array();
        return true;
      }
      // The array that goes on in the file ends here with its last whole row, and begins anew after it.
      const std::optional<std::size_t> comma = last_comma(window_.rest());
      if (!comma) return false;
      window_[*comma] = ']';
      if (!rows(*comma + 1)) return false;
      window_.take(*comma);
      window_[0] = '[';
      window_.refill();
    }
  }

 private:
  // Of the array that the window's first bytes are. Nothing is handed over unless all of it is good.
  bool rows(std::size_t length) {
    const std::string_view text = window_.rest().substr(0, length);
    if (text.find('\\') != std::string_view::npos) return false;
    if (parser_.max_depth() != deepest && parser_.allocate(text.size(), deepest) != simdjson::SUCCESS) return false;
    simdjson::dom::array array;
    if (parser_.parse(text.data(), text.size(), false).get_array().get(array) != simdjson::SUCCESS) return false;
    for (const Element row : array) {
      if (!row.is_object()) return false;
    }
    for (const Element row : array) hand_over(row, builder_);
    return true;
  }

  // Below what the builder refuses: it is the one to say so.
  static constexpr std::size_t deepest = 15;

  Window window_;
  JsonRowsBuilder& builder_;
  simdjson::dom::parser parser_;
};

}  // namespace

bool visit_in_batches(std::istream& stream, JsonRowsBuilder& builder) { return Batches(stream, builder).visit(); }

}  // namespace bevfusion

#else

namespace bevfusion {

bool visit_in_batches(std::istream&, JsonRowsBuilder&) { return false; }

}  // namespace bevfusion

#endif
