// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/token.hpp"

namespace bevfusion {

/// Writes JSON to a file as it comes. Numbers are the shortest text that reads back as the same double; strings must need no
/// escape.
class JsonWriter {
 public:
  explicit JsonWriter(const std::string& file) : file_(file), stream_(file, std::ios::binary | std::ios::trunc) {}

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
    stream_ << ": ";
    fresh_ = true;
    return *this;
  }

  JsonWriter& value(std::string_view text) {
    separate();
    stream_ << '"' << text << '"';
    return *this;
  }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const Token& token) { return value(to_string(token)); }
  JsonWriter& value(bool flag) {
    separate();
    stream_ << (flag ? "true" : "false");
    return *this;
  }
  template <typename Number, typename = std::enable_if_t<std::is_arithmetic_v<Number>>>
  JsonWriter& value(Number number) {
    separate();
    char text[32];
    stream_.write(text, std::to_chars(text, text + sizeof text, number).ptr - text);
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

  /// Throws DataError where anything could not be written.
  void finish() {
    stream_.put('\n');
    stream_.close();
    if (!stream_) fail(file_, "cannot be written");
  }

 private:
  void separate() {
    if (!fresh_) stream_ << ", ";
    fresh_ = false;
  }
  template <typename List>
  JsonWriter& sequence(const List& list) {
    open('[');
    for (const auto& item : list) value(item);
    return close(']');
  }

  std::string file_;
  std::ofstream stream_;
  bool fresh_ = true;
};

}  // namespace bevfusion
