// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

namespace example {

/// How many columns of a terminal UTF-8 text takes: one for each code point.
inline std::size_t columns(const std::string& text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

/// Rows of cells in straight columns, the first to the left, the others to the right. The first row is the head.
inline std::string text_table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t c = 0; c < row.size(); ++c) {
      widths[c] = std::max(widths[c], columns(row[c]));
    }
  }
  std::string text;
  for (std::size_t r = 0; r < rows.size(); ++r) {
    std::size_t length = 0;
    for (std::size_t c = 0; c < rows[r].size(); ++c) {
      const std::string pad(widths[c] - columns(rows[r][c]), ' ');
      text += (c == 0 ? "  " : "   ") + (c == 0 ? rows[r][c] + pad : pad + rows[r][c]);
      length += widths[c] + (c == 0 ? 0 : 3);
    }
    text += '\n';
    if (r == 0) {
      text += "  ";
      for (std::size_t i = 0; i < length; ++i) {
        text += "─";
      }
      text += '\n';
    }
  }
  return text;
}

}  // namespace example
