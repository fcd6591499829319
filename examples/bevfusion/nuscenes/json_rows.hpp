// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <istream>
#include <string>
#include <string_view>
#include <vector>

#include "bevfusion/nuscenes/token.hpp"

namespace bevfusion {

/// One row of a table while a file streams by: the kept fields only. Valid during the callback it is handed to. Every getter
/// throws DataError naming file, table, row, token and field where the field is missing or of another kind.
class JsonRow {
 public:
  /// Name of the array that the row is in; empty where the file itself is one array.
  const std::string& layer() const { return layer_; }
  /// Name of the file, for errors.
  const std::string& file() const { return file_; }

  bool has(std::string_view field) const;              ///< and it is not null
  bool is_null(std::string_view field) const;          ///< it is there, and null
  Token token(std::string_view field) const;           ///< may be empty, which null is as well
  Token required_token(std::string_view field) const;  ///< throws where it is empty
  std::vector<Token> tokens(std::string_view field) const;
  /// Tokens in the lists of the field's objects, a vector for each object, as a polygon's holes have them.
  std::vector<std::vector<Token>> token_groups(std::string_view field) const;
  const std::string& text(std::string_view field) const;
  double number(std::string_view field) const;
  std::int64_t integer(std::string_view field) const;
  bool flag(std::string_view field) const;
  /// All numbers of a list, nested ones in reading order.
  const std::vector<double>& numbers(std::string_view field) const;
  template <std::size_t N>
  std::array<double, N> numbers(std::string_view field) const {
    const std::vector<double>& list = numbers(field);
    if (list.size() != N) fail(field, "wants " + std::to_string(N) + " numbers, has " + std::to_string(list.size()));
    std::array<double, N> values;
    for (std::size_t i = 0; i < N; ++i) values[i] = list[i];
    return values;
  }

  [[noreturn]] void fail(std::string_view field, const std::string& what) const;

 private:
  friend class JsonRowsBuilder;
  enum class Kind { absent, null, text, integer, real, flag, list };
  struct Value {
    std::string field;
    Kind kind = Kind::absent;
    std::string text;
    std::int64_t integer = 0;
    double real = 0;
    bool flag = false;
    std::vector<double> numbers;
    std::vector<std::string> texts;
    std::vector<std::size_t> groups;  // where in texts each nested object begins
  };

  const Value& get(std::string_view field, Kind kind) const;

  std::string file_;
  std::string layer_;
  std::int64_t index_ = 0;
  std::vector<Value> values_;
};

/// What a JSON file of rows is read into. The file is an array of objects (a nuScenes table), or an object of such arrays (a
/// map).
struct JsonRowsVisitor {
  std::vector<std::string> fields;                                            ///< the ones to keep of each row
  std::function<void(const JsonRow&)> row;                                    ///< called after each row
  std::function<void(const std::string& key)> list = {};                      ///< an array of the file's object, before its rows
  std::function<void(const std::string& key, double)> number = {};            ///< a number outside all rows
  std::function<void(const std::string& key, const std::string&)> text = {};  ///< a string outside all rows
};

/// Streams a JSON text through the visitor, holding one row at a time; throws DataError where it is no JSON, is nested deeper
/// than 16 levels or ends early. `file` is what errors call it.
void visit_json_rows(std::istream& stream, const std::string& file, const JsonRowsVisitor& visitor);

/// The same for a file.
void visit_json_rows(const std::filesystem::path& file, const JsonRowsVisitor& visitor);

}  // namespace bevfusion
