// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "svg.hpp"

namespace example {

/// Groups of bars that all begin at zero, each with its value above it and an error bar.
struct BarPlot {
  std::string title, y_label;
  std::vector<std::string> groups;
  std::vector<std::string> bars;            ///< names of the bars within a group
  std::vector<std::vector<double>> values;  ///< one row a group, one value a bar
  std::vector<std::vector<double>> errors;  ///< half the length of each error bar; NaN or 0: none
  double high = 100;                        ///< upper end of the y axis
  int width = 960, height = 320;
};

namespace detail {

inline std::string one_decimal(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

}  // namespace detail

/// The plot as an SVG element; colours and fonts come from the page's style sheet (`Page`).
inline std::string svg(const BarPlot& plot) {
  const double left = 52, right = plot.width - 14.0, top = 56, bottom = plot.height - 34.0;
  const Axis y(0, plot.high, bottom, top, false);
  std::string out = detail::open_svg(plot.width, plot.height, plot.title);
  out += detail::title(left, right, plot.title);
  for (const double tick : y.ticks()) {
    out += detail::line(left, y.at(tick), right, y.at(tick), "grid") +
           detail::text(left - 6, y.at(tick) + 4, "tick end", label(tick));
  }
  out += detail::text(13, (top + bottom) / 2, "tick middle", plot.y_label, detail::turned(13, (top + bottom) / 2));
  const double group_width = (right - left) / static_cast<double>(plot.groups.size());
  const double bar_width = 0.76 * group_width / static_cast<double>(plot.bars.size());
  for (std::size_t g = 0; g < plot.groups.size(); ++g) {
    const double group = left + group_width * (static_cast<double>(g) + 0.12);
    for (std::size_t b = 0; b < plot.bars.size(); ++b) {
      const double value = plot.values[g][b], error = plot.errors[g][b];
      const double x = group + bar_width * static_cast<double>(b), middle = x + bar_width / 2;
      if (!std::isfinite(value)) {
        continue;
      }
      out += "<rect x=\"" + label(x + 1, 5) + "\" y=\"" + label(y.at(value), 5) + "\" width=\"" + label(bar_width - 2, 5) +
             "\" height=\"" + label(bottom - y.at(value), 5) + "\" class=\"bar b" + std::to_string(b % 8) + "\"><title>" +
             escaped(plot.groups[g] + ", " + plot.bars[b] + ": " + label(value, 4)) + "</title></rect>\n";
      double above = value;
      if (std::isfinite(error) && error > 0) {
        above = value + error;
        out += detail::line(middle, y.at(value - error), middle, y.at(above), "error");
        for (const double end : {value - error, above}) {
          out += detail::line(middle - 4, y.at(end), middle + 4, y.at(end), "error");
        }
      }
      out += detail::text(middle, y.at(above) - 5, "tick middle", detail::one_decimal(value));
    }
    out += detail::text(left + group_width * (static_cast<double>(g) + 0.5), bottom + 18, "tick middle", plot.groups[g]);
  }
  double key = left;
  for (std::size_t b = 0; b < plot.bars.size(); ++b) {
    out +=
        "<rect x=\"" + label(key, 5) + "\" y=\"31\" width=\"11\" height=\"11\" class=\"bar b" + std::to_string(b % 8) + "\"/>\n";
    out += detail::text(key + 16, 41, "tick", plot.bars[b]);
    key += 36 + 6.4 * static_cast<double>(plot.bars[b].size());
  }
  return out + detail::line(left, bottom, right, bottom, "axis") + "</svg>\n";
}

}  // namespace example
