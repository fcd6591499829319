// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/json_rows.hpp"

namespace bevfusion {

/// Makes rows of what a parser meets, in the order of the text, and hands them to a visitor. Rows are the objects at depth 2 (the
/// file is an array) or 3 (the file is an object of arrays), where depth counts open brackets.
class JsonRowsBuilder {
 public:
  /// @param file     for errors
  /// @param visitor  outlives the builder
  /// @param known    so many rows, the first ones, the visitor has had already
  JsonRowsBuilder(const std::string& file, const JsonRowsVisitor& visitor, std::int64_t known = 0)
      : visitor_(visitor), known_(known) {
    row_.file_ = file;
    for (const std::string& field : visitor.fields) {
      row_.values_.emplace_back();
      row_.values_.back().field = field;
    }
  }

  void null() { scalar(JsonRow::Kind::null); }

  void flag(bool value) {
    if (JsonRow::Value* field = scalar(JsonRow::Kind::flag)) field->flag = value;
  }

  void whole(std::int64_t value) {
    if (JsonRow::Value* field = scalar(JsonRow::Kind::integer)) {
      field->integer = value;
    } else {
      listed(static_cast<double>(value));
    }
  }

  void real(double value) {
    if (JsonRow::Value* field = scalar(JsonRow::Kind::real)) {
      field->real = value;
    } else {
      listed(value);
    }
  }

  void text(std::string_view value) {
    if (JsonRow::Value* field = scalar(JsonRow::Kind::text)) {
      field->text = value;
    } else if (field_ != nullptr) {
      // A list's strings only: an object in it may have names of its own.
      if ((arrays_ >> depth_ & 1U) != 0) field_->texts.emplace_back(value);
    } else if (row_depth_ == 0 && visitor_.text) {
      visitor_.text(row_.layer_, std::string(value));
    }
  }

  void open_object() {
    open();
    if (depth_ == 1) {
      root_is_object_ = true;
    } else if (row_depth_ == 0 && depth_ == (root_is_object_ ? 3 : 2)) {
      row_depth_ = depth_;
      keys_ = 0;
      for (JsonRow::Value& value : row_.values_) {
        value.kind = JsonRow::Kind::absent;
        value.numbers.clear();
        value.texts.clear();
        value.groups.clear();
      }
    } else if (field_ != nullptr) {
      field_->groups.push_back(field_->texts.size());
    }
  }

  void key(std::string_view name) {
    if (depth_ == 1) {
      row_.layer_ = name;
      row_.index_ = 0;
    } else if (depth_ == row_depth_) {
      field_ = field_named(name);
    }
  }

  void close_object() {
    if (depth_ == row_depth_) {
      row_depth_ = 0;
      field_ = nullptr;
      if (visitor_.row && met_++ >= known_) visitor_.row(row_);
      ++row_.index_;
    }
    --depth_;
  }

  void open_array() {
    open();
    arrays_ |= 1U << depth_;
    if (root_is_object_ && depth_ == 2 && visitor_.list) visitor_.list(row_.layer_);
  }

  void close_array() { --depth_; }

  /// Whether what follows the key last met is kept.
  bool keeps_value() const { return field_ != nullptr; }
  /// How many rows the visitor has had.
  std::int64_t rows() const { return met_; }

  [[noreturn]] void refuse(std::size_t position, const std::string& last, const std::string& why) const {
    std::string what = "no JSON, or cut short, at byte " + std::to_string(position);
    if (!last.empty()) what += " near '" + last.substr(0, 40) + "'";
    fail(row_.file_, what + " (row " + std::to_string(row_.index_) + "; " + why.substr(0, 200) + ")");
  }

 private:
  void open() {
    arrays_ &= ~(2U << depth_);
    if (++depth_ > 16) fail(row_.file_, "nested deeper than 16 levels at row " + std::to_string(row_.index_));
    if (field_ != nullptr && depth_ == row_depth_ + 1) field_->kind = JsonRow::Kind::list;
  }

  // Rows of a table have their keys in one order: where a key is the one that this place had in an earlier row, so is its field.
  JsonRow::Value* field_named(std::string_view name) {
    const std::size_t place = keys_++;
    if (place < order_.size() && order_[place].name == name) return order_[place].field;
    JsonRow::Value* found = nullptr;
    for (JsonRow::Value& value : row_.values_) {
      if (value.field == name) found = &value;
    }
    if (place < most_ordered) {
      if (place >= order_.size()) order_.resize(place + 1);
      order_[place].name = name;
      order_[place].field = found;
    }
    return found;
  }

  // The row's field that a value belongs to directly.
  JsonRow::Value* scalar(JsonRow::Kind kind) {
    if (row_depth_ == 0 || depth_ != row_depth_ || field_ == nullptr) return nullptr;
    field_->kind = kind;
    return field_;
  }

  void listed(double value) {
    if (field_ != nullptr) {
      field_->numbers.push_back(value);
    } else if (row_depth_ == 0 && visitor_.number) {
      visitor_.number(row_.layer_, value);
    }
  }

  struct Ordered {
    std::string name;
    JsonRow::Value* field = nullptr;
  };
  static constexpr std::size_t most_ordered = 32;

  const JsonRowsVisitor& visitor_;
  JsonRow row_;
  JsonRow::Value* field_ = nullptr;  // of the key last met in the row, while it is a kept one
  int depth_ = 0;
  std::uint32_t arrays_ = 0;  // bit d: the bracket at depth d is an array's
  int row_depth_ = 0;         // 0: in no row
  bool root_is_object_ = false;
  std::int64_t known_;
  std::int64_t met_ = 0;
  std::vector<Ordered> order_;
  std::size_t keys_ = 0;  // of the row so far
};

}  // namespace bevfusion
