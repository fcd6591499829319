// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bevfusion/nuscenes/token.hpp"
#include "support/output_file.hpp"

namespace bevfusion {

/// Writes JSON to a file as it comes. Numbers are the shortest text that reads back as the same double; strings must need no
/// escape.
class JsonWriter {
 public:
  explicit JsonWriter(const std::string& file) : stream_(file) {}

  JsonWriter& open(char bracket) {
    separate();
    stream_.put(bracket);
    fresh_ = true;
    return *this;
  }
  JsonWriter& close(char bracket) {
    stream_.put(bracket);
    fresh_ = false;
    return *this;
  }
  JsonWriter& line() {
    stream_.put('\n');
    return *this;
  }
  JsonWriter& key(std::string_view name) {
    value(name);
    stream_.write(": ");
    fresh_ = true;
    return *this;
  }

  JsonWriter& value(std::string_view text) {
    separate();
    stream_.put('"');
    stream_.write(text);
    stream_.put('"');
    return *this;
  }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const Token& token) { return value(to_string(token)); }
  JsonWriter& value(bool flag) {
    separate();
    stream_.write(flag ? "true" : "false");
    return *this;
  }
  template <typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>>
  JsonWriter& value(Number number) {
    separate();
    char text[32];
    stream_.write({text, static_cast<std::size_t>(std::to_chars(text, text + sizeof text, number).ptr - text)});
    return *this;
  }
  template <typename T>
  JsonWriter& value(const std::vector<T>& list) {
    return sequence(list);
  }
  template <typename T, std::size_t N>
  JsonWriter& value(const std::array<T, N>& list) {
    return sequence(list);
  }

  template <typename T>
  JsonWriter& field(std::string_view name, const T& content) {
    return key(name).value(content);
  }

  /// Throws std::runtime_error, as every call may, where something could not be written.
  void finish() {
    stream_.put('\n');
    stream_.close();
  }

 private:
  void separate() {
    if (!fresh_) stream_.write(", ");
    fresh_ = false;
  }
  template <typename List>
  JsonWriter& sequence(const List& list) {
    open('[');
    for (const auto& item : list) value(item);
    return close(']');
  }

  example::OutputFile stream_;
  bool fresh_ = true;
};

}  // namespace bevfusion
