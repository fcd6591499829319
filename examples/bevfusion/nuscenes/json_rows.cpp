// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/json_rows.hpp"

#include <nlohmann/json.hpp>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/json_batches.hpp"
#include "bevfusion/nuscenes/json_rows_builder.hpp"

namespace bevfusion {

// --- a row
// -----------------------------------------------------------------------------------------------------------------------

void JsonRow::fail(std::string_view field, const std::string& what) const {
  std::string where = layer_.empty() ? std::string() : "layer " + layer_ + ", ";
  where += "row " + std::to_string(index_);
  for (const Value& value : values_) {
    if (value.field == "token" && value.kind == Kind::text) where += " (token " + value.text.substr(0, 40) + ")";
  }
  bevfusion::fail(file_, where + ", field '" + std::string(field) + "' " + what);
}

bool JsonRow::has(std::string_view field) const {
  for (const Value& value : values_) {
    if (value.field == field) return value.kind != Kind::absent && value.kind != Kind::null;
  }
  return false;
}

bool JsonRow::is_null(std::string_view field) const {
  for (const Value& value : values_) {
    if (value.field == field) return value.kind == Kind::null;
  }
  return false;
}

const JsonRow::Value& JsonRow::get(std::string_view field, Kind kind) const {
  for (const Value& value : values_) {
    if (value.field != field) continue;
    if (value.kind == kind) return value;
    if (value.kind == Kind::absent) fail(field, "is missing");
    if (value.kind == Kind::null) fail(field, "is null");
    static constexpr std::string_view names[] = {"absent",   "null",          "a string", "a whole number",
                                                 "a number", "true or false", "a list"};
    fail(field, "is not " + std::string(names[static_cast<std::size_t>(kind)]));
  }
  fail(field, "is missing");
}

namespace {

constexpr std::array<int, 256> digit_values() {
  std::array<int, 256> values{};
  for (int& value : values) value = -1;
  for (int i = 0; i < 16; ++i) values[static_cast<unsigned char>("0123456789abcdef"[i])] = i;
  return values;
}

// Token(text), without a branch a digit: their digits are random, and there are millions of them.
Token token_of(const std::string& text) {
  static constexpr std::array<int, 256> values = digit_values();
  if (text.size() != 32) return Token(text);
  std::array<std::uint64_t, 2> half = {0, 0};
  int wrong = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    const int value = values[static_cast<unsigned char>(text[i])];
    wrong |= value;
    half[i / 16] = half[i / 16] << 4U | static_cast<std::uint64_t>(value & 15);
  }
  return wrong < 0 ? Token(text) : Token::of_digits(half[0], half[1]);
}

}  // namespace

Token JsonRow::token(std::string_view field) const {
  for (const Value& value : values_) {
    if (value.field != field) continue;
    if (value.kind == Kind::text) return token_of(value.text);
    if (value.kind == Kind::null) return {};
    break;
  }
  return token_of(get(field, Kind::text).text);
}

Token JsonRow::required_token(std::string_view field) const {
  const Token result = token(field);
  if (result.empty()) fail(field, "is an empty token");
  return result;
}

std::vector<Token> JsonRow::tokens(std::string_view field) const {
  std::vector<Token> result;
  for (const std::string& text : get(field, Kind::list).texts) result.emplace_back(text);
  return result;
}

std::vector<std::vector<Token>> JsonRow::token_groups(std::string_view field) const {
  const Value& value = get(field, Kind::list);
  std::vector<std::vector<Token>> result;
  for (std::size_t g = 0; g < value.groups.size(); ++g) {
    const std::size_t end = g + 1 < value.groups.size() ? value.groups[g + 1] : value.texts.size();
    result.emplace_back();
    for (std::size_t i = value.groups[g]; i < end; ++i) result.back().emplace_back(value.texts[i]);
  }
  return result;
}

const std::string& JsonRow::text(std::string_view field) const { return get(field, Kind::text).text; }

double JsonRow::number(std::string_view field) const {
  for (const Value& value : values_) {
    if (value.field == field && value.kind == Kind::integer) return static_cast<double>(value.integer);
  }
  return get(field, Kind::real).real;
}

std::int64_t JsonRow::integer(std::string_view field) const { return get(field, Kind::integer).integer; }

bool JsonRow::flag(std::string_view field) const { return get(field, Kind::flag).flag; }

const std::vector<double>& JsonRow::numbers(std::string_view field) const {
  const Value& value = get(field, Kind::list);
  if (!value.texts.empty()) fail(field, "holds strings where numbers belong");
  return value.numbers;
}

// --- the stream
// ------------------------------------------------------------------------------------------------------------------

namespace {

// What nlohmann's parser meets, one thing at a time.
class Events : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit Events(JsonRowsBuilder& builder) : builder_(builder) {}

  bool null() override { return builder_.null(), true; }
  bool boolean(bool value) override { return builder_.flag(value), true; }
  bool number_integer(std::int64_t value) override { return builder_.whole(value), true; }
  bool number_unsigned(std::uint64_t value) override {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) return builder_.real(static_cast<double>(value)), true;
    return builder_.whole(static_cast<std::int64_t>(value)), true;
  }
  bool number_float(double value, const std::string&) override { return builder_.real(value), true; }
  bool string(std::string& value) override { return builder_.text(value), true; }
  bool binary(nlohmann::json::binary_t&) override { return true; }
  bool start_object(std::size_t) override { return builder_.open_object(), true; }
  bool key(std::string& name) override { return builder_.key(name), true; }
  bool end_object() override { return builder_.close_object(), true; }
  bool start_array(std::size_t) override { return builder_.open_array(), true; }
  bool end_array() override { return builder_.close_array(), true; }
  bool parse_error(std::size_t position, const std::string& last, const nlohmann::json::exception& error) override {
    builder_.refuse(position, last, error.what());
  }

 private:
  JsonRowsBuilder& builder_;
};

}  // namespace

void visit_json_rows(std::istream& stream, const std::string& file, const JsonRowsVisitor& visitor) {
  std::int64_t known = 0;
  if (const std::istream::pos_type begin = stream.tellg(); begin != std::istream::pos_type(-1)) {
    JsonRowsBuilder builder(file, visitor);
    if (visit_in_batches(stream, builder)) return;
    known = builder.rows();
    stream.clear();
    stream.seekg(begin);
  }
  JsonRowsBuilder builder(file, visitor, known);
  Events events(builder);
  nlohmann::json::sax_parse(stream, &events);
}

void visit_json_rows(const std::filesystem::path& file, const JsonRowsVisitor& visitor) {
  const std::unique_ptr<std::istream> stream = open_buffered(file);
  if (!stream) fail(file.string(), "cannot be opened");
  visit_json_rows(*stream, file.string(), visitor);
}

}  // namespace bevfusion
