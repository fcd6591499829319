// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <istream>
#include <streambuf>
#include <string>
#include <string_view>

namespace bevfusion {

/// JSON as Python writes it, made into JSON: NaN becomes null, and Infinity a text, which no reader of numbers takes. What is
/// within texts stays. A piece of the file is in memory at a time.
class PythonNumbers : public std::streambuf {
 public:
  explicit PythonNumbers(std::istream& in) : in_(*in.rdbuf()) {}

 protected:
  int_type underflow() override {
    piece_.clear();
    while (piece_.size() < enough && take()) {
    }
    setg(piece_.data(), piece_.data(), piece_.data() + piece_.size());
    return piece_.empty() ? traits_type::eof() : traits_type::to_int_type(piece_.front());
  }

 private:
  static constexpr std::size_t enough = std::size_t{1} << 16U;

  bool take() {
    const int_type next = in_.sbumpc();
    if (traits_type::eq_int_type(next, traits_type::eof())) {
      return false;
    }
    const char c = traits_type::to_char_type(next);
    if (in_text_) {
      piece_ += c;
      in_text_ = escaped_ || c != '"';
      escaped_ = !escaped_ && c == '\\';
    } else if (c == 'N') {
      replace("NaN", "null");
    } else if (c == 'I') {
      replace("Infinity", "\"Infinity\"");
    } else if (c == '-' && in_.sgetc() == 'I') {
      in_.sbumpc();
      replace("Infinity", "\"-Infinity\"");
    } else {
      piece_ += c;
      in_text_ = c == '"';
    }
    return true;
  }

  /// Where `word`, whose first letter is read, goes on as it should, puts `instead` for it.
  void replace(std::string_view word, std::string_view instead) {
    std::size_t read = 1;
    while (read < word.size() && in_.sgetc() == traits_type::to_int_type(word[read])) {
      in_.sbumpc();
      ++read;
    }
    piece_ += read == word.size() ? instead : word.substr(0, read);
  }

  std::streambuf& in_;
  std::string piece_;
  bool in_text_ = false;
  bool escaped_ = false;
};

}  // namespace bevfusion
