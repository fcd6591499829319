// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdio>
#include <string>

#include "output_file.hpp"

namespace example {

/// A file of records, one a line, that fails in words when it cannot be written.
class LineFile {
 public:
  explicit LineFile(const std::string& path) : out_(path) {}

  void line(const std::string& text) {
    out_.write(text);
    out_.put('\n');
  }

  void flush() { out_.flush(); }

 private:
  OutputFile out_;
};

/// One line of a CSV file (RFC 4180): fields with a comma, a quote or a line break are quoted; a number that is NaN is left
/// empty.
class CsvLine {
 public:
  CsvLine& operator<<(const std::string& field) {
    separate();
    if (field.find_first_of(",\"\r\n") == std::string::npos) {
      text_ += field;
      return *this;
    }
    text_ += '"';
    for (const char c : field) {
      text_ += c == '"' ? std::string("\"\"") : std::string(1, c);
    }
    text_ += '"';
    return *this;
  }
  CsvLine& operator<<(const char* field) { return *this << std::string(field); }
  CsvLine& operator<<(int value) { return *this << static_cast<double>(value); }
  CsvLine& operator<<(double value) {
    separate();
    if (!std::isnan(value)) {
      char number[32];
      std::snprintf(number, sizeof number, "%.9g", value);
      text_ += number;
    }
    return *this;
  }
  const std::string& text() const { return text_; }

 private:
  void separate() {
    if (!first_) {
      text_ += ',';
    }
    first_ = false;
  }

  std::string text_;
  bool first_ = true;
};

}  // namespace example
