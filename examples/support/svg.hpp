// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace example {

/// Text as it may stand in XML, between tags and in attributes.
inline std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += c;
    }
  }
  return result;
}

/// A number with as many digits as a label needs.
inline std::string label(double value, int digits = 3) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*g", digits, value);
  return text;
}

/// One axis of a plot: a range of values, whether it is logarithmic, and where it lies in the picture.
class Axis {
 public:
  Axis(double low, double high, double begin, double end, bool logarithmic)
      : low_(low), high_(high), begin_(begin), end_(end), logarithmic_(logarithmic) {}

  double at(double value) const {
    const double share = logarithmic_ ? std::log(value / low_) / std::log(high_ / low_) : (value - low_) / (high_ - low_);
    return begin_ + (end_ - begin_) * share;
  }

  /// Round values in the range, about five: 1, 2 or 5 times a power of ten.
  std::vector<double> ticks() const {
    std::vector<double> values;
    if (logarithmic_) {
      const bool wide = std::log10(high_ / low_) > 2.5;
      for (double power = std::pow(10, std::floor(std::log10(low_))); power <= high_; power *= 10) {
        for (const double digit : {1.0, 2.0, 5.0}) {
          const double value = digit * power;
          if (value >= low_ * (1 - 1e-9) && value <= high_ * (1 + 1e-9) && (digit == 1 || !wide)) {
            values.push_back(value);
          }
        }
      }
      return values;
    }
    const double rough = (high_ - low_) / 5;
    const double power = std::pow(10, std::floor(std::log10(rough)));
    const double digit = rough / power;
    const double step = power * (digit <= 1 ? 1 : digit <= 2 ? 2 : digit <= 5 ? 5 : 10);
    for (auto i = std::ceil(low_ / step - 1e-9); i * step <= high_ + 1e-9 * step; ++i) {
      values.push_back(i == 0 ? 0 : i * step);
    }
    return values;
  }

 private:
  double low_, high_, begin_, end_;
  bool logarithmic_;
};

/// One line of a plot. `colour` picks one of the page's eight, so that a name keeps its colour from plot to plot.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
  int colour = 0;
};

/// A plot of lines. Points that are not finite, or not positive on a logarithmic axis, are left out.
struct LinePlot {
  std::string title, x_label, y_label;
  std::vector<Series> series;
  bool logarithmic = false;
  double low = std::numeric_limits<double>::quiet_NaN();   ///< lower end of the y axis; from the data unless given
  double high = std::numeric_limits<double>::quiet_NaN();  ///< upper end of the y axis; from the data unless given
  bool legend = false;
  bool whole_x = false;  ///< ticks of the x axis at whole numbers only
  int width = 420, height = 270;
};

namespace detail {

inline std::string text(double x, double y, const char* kind, const std::string& content, const std::string& more = "") {
  return "<text x=\"" + label(x, 5) + "\" y=\"" + label(y, 5) + "\" class=\"" + kind + "\"" + more + ">" + escaped(content) +
         "</text>\n";
}

inline std::string line(double x1, double y1, double x2, double y2, const char* kind) {
  return "<line x1=\"" + label(x1, 5) + "\" y1=\"" + label(y1, 5) + "\" x2=\"" + label(x2, 5) + "\" y2=\"" + label(y2, 5) +
         "\" class=\"" + kind + "\"/>\n";
}

inline std::string open_svg(int width, int height, const std::string& title) {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + std::to_string(width) + " " + std::to_string(height) +
         "\" width=\"" + std::to_string(width) + "\" height=\"" + std::to_string(height) + "\" role=\"img\" aria-label=\"" +
         escaped(title) + "\">\n";
}

inline std::string turned(double x, double y) { return " transform=\"rotate(-90 " + label(x, 5) + " " + label(y, 5) + ")\""; }

}  // namespace detail

/// The plot as an SVG element; colours and fonts come from the page's style sheet (`Page`).
inline std::string svg(const LinePlot& plot) {
  double x_low = std::numeric_limits<double>::infinity(), x_high = -x_low, y_low = x_low, y_high = -x_low;
  const auto shown = [&](const std::pair<double, double>& p) {
    return std::isfinite(p.first) && std::isfinite(p.second) && (!plot.logarithmic || p.second > 0);
  };
  for (const auto& series : plot.series) {
    for (const auto& point : series.points) {
      if (shown(point)) {
        x_low = std::min(x_low, point.first), x_high = std::max(x_high, point.first);
        y_low = std::min(y_low, point.second), y_high = std::max(y_high, point.second);
      }
    }
  }
  const double left = 52, right = plot.width - 14.0, top = plot.legend ? 52 : 34, bottom = plot.height - 42.0;
  std::string out = detail::open_svg(plot.width, plot.height, plot.title);
  out += detail::text(left, 20, "title", plot.title);
  if (!(x_low <= x_high)) {
    return out + detail::text((left + right) / 2, (top + bottom) / 2, "note middle", "not measured") + "</svg>\n";
  }
  // Values that differ by rounding alone are one value: no axis can have ticks between them.
  const double largest = std::max(std::abs(y_low), std::abs(y_high));
  const double spread = y_high - y_low > 1e-9 * largest ? y_high - y_low : std::max(largest, 1e-6);
  const double margin = plot.logarithmic ? 1.15 : 0.06 * spread;
  y_low = std::isnan(plot.low) ? (plot.logarithmic ? y_low / margin : y_low - margin) : plot.low;
  y_high = std::isnan(plot.high) ? (plot.logarithmic ? y_high * margin : y_high + margin) : plot.high;
  x_high = x_high > x_low ? x_high : x_low + 1;
  const Axis x(x_low, x_high, left, right, false), y(y_low, y_high, bottom, top, plot.logarithmic);
  for (const double tick : y.ticks()) {
    out += detail::line(left, y.at(tick), right, y.at(tick), "grid");
    out += detail::text(left - 6, y.at(tick) + 4, "tick end", label(tick));
  }
  for (const double tick : x.ticks()) {
    if (plot.whole_x && tick != std::round(tick)) {
      continue;
    }
    out += detail::line(x.at(tick), bottom, x.at(tick), bottom + 4, "axis");
    out += detail::text(x.at(tick), bottom + 17, "tick middle", label(tick, 6));
  }
  out += detail::line(left, bottom, right, bottom, "axis");
  out += detail::text((left + right) / 2, plot.height - 8.0, "tick middle", plot.x_label);
  out += detail::text(13, (top + bottom) / 2, "tick middle", plot.y_label, detail::turned(13, (top + bottom) / 2));
  double key = left;
  for (const auto& series : plot.series) {
    const std::string colour = "c" + std::to_string(series.colour % 8);
    std::string path;
    for (const auto& point : series.points) {
      if (shown(point)) {
        path += (path.empty() ? "M" : "L") + label(x.at(point.first), 5) + " " +
                label(std::clamp(y.at(point.second), top, bottom), 5) + " ";
      }
    }
    out += "<path d=\"" + path + "\" class=\"series " + colour + "\"><title>" + escaped(series.name) + "</title></path>\n";
    if (plot.legend) {
      out += detail::line(key, 36, key + 16, 36, ("series " + colour).c_str()) + detail::text(key + 21, 40, "tick", series.name);
      key += 36 + 6.4 * static_cast<double>(series.name.size());
    }
  }
  return out + "</svg>\n";
}

}  // namespace example
