// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/styled_table.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace bevfusion {

StyledTable::StyledTable(TableRows of_rows) : rows(std::move(of_rows)) {
  for (const auto& row : rows) {
    bold.emplace_back(row.size(), false);
  }
}

std::vector<bool> best_of(const std::vector<double>& values, Better better, int decimals) {
  const double unit = std::pow(10, decimals);
  const auto shown = [&](double value) { return std::round(value * unit); };
  std::vector<double> numbers;
  for (const double value : values) {
    if (std::isfinite(value)) {
      numbers.push_back(shown(value));
    }
  }
  std::vector<bool> best(values.size(), false);
  if (numbers.size() < 2) {
    return best;
  }
  const auto [least, most] = std::minmax_element(numbers.begin(), numbers.end());
  if (*least == *most) {
    return best;
  }
  const double wanted = better == Better::higher ? *most : *least;
  std::transform(values.begin(), values.end(), best.begin(),
                 [&](double value) { return std::isfinite(value) && shown(value) == wanted; });
  return best;
}

StyledTable without_empty_columns(const StyledTable& table) {
  const auto says_something = [&](std::size_t c) {
    return c == 0 || std::any_of(table.rows.begin() + 1, table.rows.end(), [c](const std::vector<std::string>& row) {
             return c < row.size() && !row[c].empty() && row[c] != "-";
           });
  };
  StyledTable out{TableRows{}};
  for (std::size_t r = 0; r < table.rows.size(); ++r) {
    std::vector<std::string> row;
    std::vector<bool> bold;
    for (std::size_t c = 0; c < table.rows[r].size(); ++c) {
      if (says_something(c)) {
        row.push_back(table.rows[r][c]);
        bold.push_back(table.bold[r][c]);
      }
    }
    out.rows.push_back(std::move(row));
    out.bold.push_back(std::move(bold));
  }
  return out;
}

TableRows without_empty_columns(const TableRows& rows) { return without_empty_columns(StyledTable(rows)).rows; }

}  // namespace bevfusion
