// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/nuscenes/json_rows.hpp"

#include <nlohmann/json.hpp>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/nuscenes/data_error.hpp"

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

Token JsonRow::token(std::string_view field) const {
  if (is_null(field)) return {};
  return Token(get(field, Kind::text).text);
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

// Depth counts open brackets. Rows are the objects at depth 2 (the file is an array) or 3 (the file is an object of arrays).
class JsonRowsHandler : public nlohmann::json_sax<nlohmann::json> {
 public:
  JsonRowsHandler(const std::string& file, const JsonRowsVisitor& visitor) : visitor_(visitor) {
    row_.file_ = file;
    for (const std::string& field : visitor.fields) {
      row_.values_.emplace_back();
      row_.values_.back().field = field;
    }
  }

  bool null() override {
    scalar(JsonRow::Kind::null);
    return true;
  }

  bool boolean(bool value) override {
    if (JsonRow::Value* field = scalar(JsonRow::Kind::flag)) field->flag = value;
    return true;
  }

  bool number_integer(std::int64_t value) override { return whole(value, static_cast<double>(value)); }

  bool number_unsigned(std::uint64_t value) override {
    if (value > static_cast<std::uint64_t>(INT64_MAX)) return number_float(static_cast<double>(value), {});
    return whole(static_cast<std::int64_t>(value), static_cast<double>(value));
  }

  bool number_float(double value, const std::string&) override {
    if (JsonRow::Value* field = scalar(JsonRow::Kind::real)) {
      field->real = value;
      return true;
    }
    return listed(value);
  }

  bool string(std::string& value) override {
    if (JsonRow::Value* field = scalar(JsonRow::Kind::text)) {
      field->text = value;
    } else if (field_ != nullptr) {
      // A list's strings only: an object in it may have names of its own.
      if ((arrays_ >> depth_ & 1U) != 0) field_->texts.push_back(value);
    } else if (row_depth_ == 0 && visitor_.text) {
      visitor_.text(row_.layer_, value);
    }
    return true;
  }

  bool binary(nlohmann::json::binary_t&) override { return true; }

  bool start_object(std::size_t) override {
    open();
    if (depth_ == 1) {
      root_is_object_ = true;
    } else if (row_depth_ == 0 && depth_ == (root_is_object_ ? 3 : 2)) {
      row_depth_ = depth_;
      for (JsonRow::Value& value : row_.values_) {
        value.kind = JsonRow::Kind::absent;
        value.numbers.clear();
        value.texts.clear();
        value.groups.clear();
      }
    } else if (field_ != nullptr) {
      field_->groups.push_back(field_->texts.size());
    }
    return true;
  }

  bool key(std::string& name) override {
    if (depth_ == 1) {
      row_.layer_ = name;
      row_.index_ = 0;
    } else if (depth_ == row_depth_) {
      field_ = nullptr;
      for (JsonRow::Value& value : row_.values_) {
        if (value.field == name) field_ = &value;
      }
    }
    return true;
  }

  bool end_object() override {
    if (depth_ == row_depth_) {
      row_depth_ = 0;
      field_ = nullptr;
      if (visitor_.row) visitor_.row(row_);
      ++row_.index_;
    }
    --depth_;
    return true;
  }

  bool start_array(std::size_t) override {
    open();
    arrays_ |= 1U << depth_;
    if (root_is_object_ && depth_ == 2 && visitor_.list) visitor_.list(row_.layer_);
    return true;
  }

  bool end_array() override {
    --depth_;
    return true;
  }

  bool parse_error(std::size_t position, const std::string& last, const nlohmann::json::exception& error) override {
    std::string what = "no JSON, or cut short, at byte " + std::to_string(position);
    if (!last.empty()) what += " near '" + last.substr(0, 40) + "'";
    fail(row_.file_, what + " (row " + std::to_string(row_.index_) + "; " + std::string(error.what()).substr(0, 200) + ")");
  }

 private:
  void open() {
    arrays_ &= ~(2U << depth_);
    if (++depth_ > 16) fail(row_.file_, "nested deeper than 16 levels at row " + std::to_string(row_.index_));
    if (field_ != nullptr && depth_ == row_depth_ + 1) field_->kind = JsonRow::Kind::list;
  }

  // The row's field that a value belongs to directly.
  JsonRow::Value* scalar(JsonRow::Kind kind) {
    if (row_depth_ == 0 || depth_ != row_depth_ || field_ == nullptr) return nullptr;
    field_->kind = kind;
    return field_;
  }

  bool whole(std::int64_t value, double real) {
    if (JsonRow::Value* field = scalar(JsonRow::Kind::integer)) {
      field->integer = value;
      return true;
    }
    return listed(real);
  }

  bool listed(double value) {
    if (field_ != nullptr) {
      field_->numbers.push_back(value);
    } else if (row_depth_ == 0 && visitor_.number) {
      visitor_.number(row_.layer_, value);
    }
    return true;
  }

  const JsonRowsVisitor& visitor_;
  JsonRow row_;
  JsonRow::Value* field_ = nullptr;  // of the key last met in the row, while it is a kept one
  int depth_ = 0;
  std::uint32_t arrays_ = 0;  // bit d: the bracket at depth d is an array's
  int row_depth_ = 0;         // 0: in no row
  bool root_is_object_ = false;
};

void visit_json_rows(std::istream& stream, const std::string& file, const JsonRowsVisitor& visitor) {
  JsonRowsHandler handler(file, visitor);
  nlohmann::json::sax_parse(stream, &handler);
}

void visit_json_rows(const std::filesystem::path& file, const JsonRowsVisitor& visitor) {
  const std::unique_ptr<std::istream> stream = open_buffered(file);
  if (!stream) fail(file.string(), "cannot be opened");
  visit_json_rows(*stream, file.string(), visitor);
}

}  // namespace bevfusion
