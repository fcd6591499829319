// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bevfusion/report/report_tables.hpp"

namespace bevfusion {

/// A table of a page and which of its cells are set in bold.
struct StyledTable {
  TableRows rows;  ///< the first is the head
  std::vector<std::vector<bool>> bold;

  /// Takes over the rows; nothing is bold.
  explicit StyledTable(TableRows of_rows);
};

/// Which way is better.
enum class Better { higher, lower };

/// Which of the values are the best: those equal to it at so many decimals. None where fewer than two are numbers, or all equal.
std::vector<bool> best_of(const std::vector<double>& values, Better better, int decimals);

/// Without the columns in which no row says anything ("-" or nothing). The head and the first column stay.
StyledTable without_empty_columns(const StyledTable& table);

/// The same of plain rows, for a terminal.
TableRows without_empty_columns(const TableRows& rows);

}  // namespace bevfusion
