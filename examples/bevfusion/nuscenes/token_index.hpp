// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bevfusion/nuscenes/json_rows.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// From tokens to rows of one table. A token may be met before its row is: it then has a number already.
///
/// A hash table of eight bytes a slot, of which at most two thirds are used: tables have millions of rows.
class TokenIndex {
 public:
  /// What a token is called here: 0, 1, 2 ... in the order in which they were met.
  using Number = std::int32_t;

  /// The number of a token; -1 of the empty one.
  Number meet(const Token& token) {
    if (token.empty()) return -1;
    if (2 * slots_.size() <= 3 * tokens_.size()) grow();
    Slot& slot = slots_[place_of(token)];
    if (slot.number < 0) {
      slot = {tag_of(token), static_cast<Number>(tokens_.size())};
      tokens_.push_back(token);
      rows_.push_back(-1);
    }
    return slot.number;
  }

  /// Takes the next row's token from its field "token"; throws DataError where it is empty or was there before.
  Token add(const JsonRow& row, RowIndex index) {
    Token token = row.required_token("token");
    RowIndex& own = rows_[static_cast<std::size_t>(meet(token))];
    if (own >= 0) row.fail("token", "appears twice");
    own = index;
    return token;
  }

  /// The number of a token that was met; -1 of another.
  Number number_of(const Token& token) const { return token.empty() || slots_.empty() ? -1 : slots_[place_of(token)].number; }

  /// -1 where there is no such row.
  RowIndex find(const Token& token) const { return row_of(number_of(token)); }

  /// The row that a field names; throws DataError where there is none.
  RowIndex find(const JsonRow& row, std::string_view field) const {
    const RowIndex index = find(row.required_token(field));
    if (index < 0) row.fail(field, "refers to a row that is not there: " + row.text(field));
    return index;
  }

  /// -1 where the token's row was not added, and for the number -1.
  RowIndex row_of(Number number) const { return number < 0 ? -1 : rows_[static_cast<std::size_t>(number)]; }
  void set_row(Number number, RowIndex row) { rows_[static_cast<std::size_t>(number)] = row; }

  const Token& token_of(Number number) const { return tokens_[static_cast<std::size_t>(number)]; }

 private:
  struct Slot {
    std::uint32_t tag = 0;
    Number number = -1;
  };

  // Tokens may count up: their lowest bits, too, have to depend on all.
  static std::uint64_t hash_of(const Token& token) {
    const std::uint64_t hash = std::hash<Token>()(token) * 0x9e3779b97f4a7c15ULL;
    return hash ^ hash >> 32U;
  }
  static std::uint32_t tag_of(const Token& token) { return static_cast<std::uint32_t>(hash_of(token) >> 32U); }

  // Where the token is, or the free slot where it belongs.
  std::size_t place_of(const Token& token) const {
    const std::uint64_t hash = hash_of(token);
    const auto tag = static_cast<std::uint32_t>(hash >> 32U);
    for (std::size_t at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
      const Slot& slot = slots_[at];
      if (slot.number < 0 || (slot.tag == tag && token_of(slot.number) == token)) return at;
    }
  }

  void grow() {
    std::vector<Slot> wider(slots_.empty() ? 64 : 2 * slots_.size());
    slots_.swap(wider);
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      slots_[place_of(tokens_[i])] = {tag_of(tokens_[i]), static_cast<Number>(i)};
    }
  }

  std::vector<Slot> slots_;  // a power of two
  std::vector<Token> tokens_;
  std::vector<RowIndex> rows_;
};

}  // namespace bevfusion
