// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/chart_parts.hpp"

namespace bevfusion {

std::string panels(const std::string& figures) {
  return figures.empty() ? "" : "<div class=\"panels\">\n" + figures + "</div>\n";
}

bool is_wide(const ChartRange& positive) { return !positive.empty() && positive.high > 6 * positive.low; }

std::string in_block(const std::string& title, const std::string& block) { return block.empty() ? title : title + ", " + block; }

std::string last_values(const std::vector<ChartLine>& lines) {
  std::string text;
  for (const ChartLine& line : lines) {
    if (!line.points.empty() && !line.pale) {
      text += (text.empty() ? "At the end: " : ", ") + line.name + " " + example::label(line.points.back().second, 3);
    }
  }
  return text.empty() ? text : text + ".";
}

std::string swatch(int colour, const std::string& name) {
  return "<span><i class=\"swatch s" + std::to_string(colour % 8) + "\"></i>" + example::escaped(name) + "</span> ";
}

}  // namespace bevfusion
