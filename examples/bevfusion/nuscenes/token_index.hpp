// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <unordered_map>

#include "bevfusion/nuscenes/json_rows.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// From tokens to rows of one table.
class TokenIndex {
 public:
  /// Takes the next row's token from its field "token"; throws DataError where it is empty or was there before.
  Token add(const JsonRow& row, RowIndex index) {
    Token token = row.required_token("token");
    if (!rows_.emplace(token, index).second) row.fail("token", "appears twice");
    return token;
  }

  /// -1 where there is no such row.
  RowIndex find(const Token& token) const {
    const auto found = rows_.find(token);
    return found == rows_.end() ? -1 : found->second;
  }

  /// The row that a field names; throws DataError where there is none.
  RowIndex find(const JsonRow& row, std::string_view field) const {
    const RowIndex index = find(row.required_token(field));
    if (index < 0) row.fail(field, "refers to a row that is not there: " + row.text(field));
    return index;
  }

  void reserve(std::size_t count) { rows_.reserve(count); }

 private:
  std::unordered_map<Token, RowIndex> rows_;
};

}  // namespace bevfusion
