// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

namespace bevfusion {

/// What `assign` gives rows without a partner.
inline constexpr std::size_t unassigned = std::numeric_limits<std::size_t>::max();

namespace detail {

/// Read access to a row-major matrix or its transpose.
struct CostView {
  const double* values;
  std::size_t row_stride;
  std::size_t column_stride;

  double operator()(std::size_t row, std::size_t column) const { return values[row * row_stride + column * column_stride]; }
};

/// Partner column of every row, for rows <= columns: one shortest augmenting path a row, over reduced costs c_ij - u_i - v_j >= 0
/// (Kuhn; Munkres; the form with potentials). Column `columns` is a stand-in that starts every path.
inline std::vector<std::size_t> assign_wide(const CostView& cost, std::size_t rows, std::size_t columns) {
  std::vector<double> u(rows, 0.0);
  std::vector<double> v(columns + 1, 0.0);
  std::vector<std::size_t> row_of(columns + 1, unassigned);
  std::vector<std::size_t> before(columns + 1);
  std::vector<double> slack(columns + 1);
  std::vector<bool> reached(columns + 1);
  for (std::size_t start = 0; start < rows; ++start) {
    std::fill(slack.begin(), slack.end(), std::numeric_limits<double>::infinity());
    std::fill(reached.begin(), reached.end(), false);
    std::size_t at = columns;
    row_of[at] = start;
    while (row_of[at] != unassigned) {
      reached[at] = true;
      const std::size_t row = row_of[at];
      double step = std::numeric_limits<double>::infinity();
      std::size_t next = columns;
      for (std::size_t j = 0; j < columns; ++j) {
        if (reached[j]) {
          continue;
        }
        const double reduced = cost(row, j) - u[row] - v[j];
        if (reduced < slack[j]) {
          slack[j] = reduced;
          before[j] = at;
        }
        if (slack[j] < step) {
          step = slack[j];
          next = j;
        }
      }
      for (std::size_t j = 0; j <= columns; ++j) {
        if (reached[j]) {
          u[row_of[j]] += step;
          v[j] -= step;
        } else {
          slack[j] -= step;
        }
      }
      at = next;
    }
    for (; at != columns; at = before[at]) {
      row_of[at] = row_of[before[at]];
    }
  }
  std::vector<std::size_t> column_of(rows, unassigned);
  for (std::size_t j = 0; j < columns; ++j) {
    if (row_of[j] != unassigned) {
      column_of[row_of[j]] = j;
    }
  }
  return column_of;
}

}  // namespace detail

/// The one-to-one assignment of least total cost: the column of every row, `unassigned` where there are more rows than columns.
///
/// `cost` is row-major, rows x columns; min(rows, columns) pairs are made, whatever they cost. O(n^2 m) time for the smaller n
/// and larger m of the two, O(n + m) memory. Deterministic. Throws std::invalid_argument for a matrix of another size, or a cost
/// that is NaN or infinite, with its place.
inline std::vector<std::size_t> assign(const std::vector<double>& cost, std::size_t rows, std::size_t columns) {
  if (cost.size() != rows * columns) {
    throw std::invalid_argument("assignment: " + std::to_string(cost.size()) + " costs for " + std::to_string(rows) + " x " +
                                std::to_string(columns));
  }
  for (std::size_t i = 0; i < cost.size(); ++i) {
    if (!std::isfinite(cost[i])) {
      throw std::invalid_argument("assignment: the cost of row " + std::to_string(i / columns) + ", column " +
                                  std::to_string(i % columns) + " is not finite");
    }
  }
  if (rows <= columns) {
    return detail::assign_wide({cost.data(), columns, 1}, rows, columns);
  }
  const std::vector<std::size_t> row_of = detail::assign_wide({cost.data(), 1, columns}, columns, rows);
  std::vector<std::size_t> column_of(rows, unassigned);
  for (std::size_t j = 0; j < columns; ++j) {
    column_of[row_of[j]] = j;
  }
  return column_of;
}

}  // namespace bevfusion
