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

/// Labels of an axis' ticks, with as many digits as tell neighbours apart.
inline std::vector<std::string> labels(const std::vector<double>& ticks) {
  std::vector<std::string> texts;
  bool apart = false;
  for (int digits = 3; digits <= 12 && !apart; ++digits) {
    texts.clear();
    apart = true;
    for (const double tick : ticks) {
      texts.push_back(label(tick, digits));
      apart = apart && (texts.size() < 2 || texts[texts.size() - 2] != texts.back());
    }
  }
  return texts;
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
      if (values.size() > 2) {
        return values;
      }
      values.clear();  // so narrow a range has round values of the linear kind
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

/// Where a quantity lies at a place, from the least to the most of what was measured there.
struct Range {
  double x, low, high;
};

/// One line of a plot. `colour` picks one of the page's eight, so that a name keeps its colour from plot to plot.
struct Series {
  std::string name;
  std::vector<std::pair<double, double>> points;
  int colour = 0;
  std::vector<Range> band = {};  ///< drawn pale under the line; none where empty
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

/// A plot's title, narrowed where it would not fit.
inline std::string title(double x, double right, const std::string& content) {
  constexpr double of_a_letter = 7.9;
  const bool fits = of_a_letter * static_cast<double>(content.size()) <= right - x;
  return text(x, 20, "title", content,
              fits ? "" : " textLength=\"" + label(right - x, 5) + "\" lengthAdjust=\"spacingAndGlyphs\"");
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

/// Room that labels take to the left of an axis, beside a turned name: never less than the plots of a page have in common.
inline double left_margin(const std::vector<std::string>& texts) {
  std::size_t longest = 0;
  for (const std::string& text : texts) {
    longest = std::max(longest, text.size());
  }
  return std::max(52.0, 30 + 6.7 * static_cast<double>(longest));
}

inline std::string turned(double x, double y) { return " transform=\"rotate(-90 " + label(x, 5) + " " + label(y, 5) + ")\""; }

}  // namespace detail

namespace detail {

/// What of a line and its band a plot can show.
struct Shown {
  explicit Shown(bool logarithmic) : positive(logarithmic) {}

  bool operator()(double x, double y) const { return std::isfinite(x) && std::isfinite(y) && (!positive || y > 0); }
  bool operator()(const std::pair<double, double>& point) const { return (*this)(point.first, point.second); }
  bool operator()(const Range& range) const { return (*this)(range.x, range.low) && (*this)(range.x, range.high); }

  bool positive;
};

/// Ends of the values that a plot shows.
struct Extent {
  double x_low = std::numeric_limits<double>::infinity(), x_high = -x_low, y_low = x_low, y_high = -x_low;

  void add(double x, double y) {
    x_low = std::min(x_low, x), x_high = std::max(x_high, x);
    y_low = std::min(y_low, y), y_high = std::max(y_high, y);
  }
};

inline Extent extent_of(const LinePlot& plot) {
  const Shown shown(plot.logarithmic);
  Extent extent;
  for (const auto& series : plot.series) {
    for (const auto& point : series.points) {
      if (shown(point)) {
        extent.add(point.first, point.second);
      }
    }
    for (const auto& range : series.band) {
      if (shown(range)) {
        extent.add(range.x, range.low);
        extent.add(range.x, range.high);
      }
    }
  }
  return extent;
}

/// The path of a band: along its upper edge, and back along the lower.
inline std::string band_path(const std::vector<Range>& band, const Shown& shown, const Axis& x, const Axis& y, double top,
                             double bottom) {
  std::string there, back;
  for (const Range& range : band) {
    if (shown(range)) {
      const std::string at = label(x.at(range.x), 5) + " ";
      there += (there.empty() ? "M" : "L") + at + label(std::clamp(y.at(range.high), top, bottom), 5) + " ";
      back = "L" + at + label(std::clamp(y.at(range.low), top, bottom), 5) + " " + back;
    }
  }
  return there.empty() ? "" : there + back + "Z";
}

}  // namespace detail

/// The plot as an SVG element; colours and fonts come from the page's style sheet (`Page`).
inline std::string svg(const LinePlot& plot) {
  const detail::Shown shown(plot.logarithmic);
  detail::Extent extent = detail::extent_of(plot);
  const double right = plot.width - 14.0, top = plot.legend ? 52 : 34, bottom = plot.height - 42.0;
  std::string out = detail::open_svg(plot.width, plot.height, plot.title);
  if (!(extent.x_low <= extent.x_high)) {
    return out + detail::title(52, right, plot.title) +
           detail::text((52 + right) / 2, (top + bottom) / 2, "note middle", "not measured") + "</svg>\n";
  }
  // Values that differ by rounding alone are one value: no axis can have ticks between them.
  const double largest = std::max(std::abs(extent.y_low), std::abs(extent.y_high));
  const double height = extent.y_high - extent.y_low;
  const double spread = height > 1e-9 * largest ? height : std::max(largest, 1e-6);
  const double margin = plot.logarithmic ? 1.15 : 0.06 * spread;
  const double y_low = std::isnan(plot.low) ? (plot.logarithmic ? extent.y_low / margin : extent.y_low - margin) : plot.low;
  const double y_high = std::isnan(plot.high) ? (plot.logarithmic ? extent.y_high * margin : extent.y_high + margin) : plot.high;
  const Axis y(y_low, y_high, bottom, top, plot.logarithmic);
  const std::vector<double> y_ticks = y.ticks();
  const std::vector<std::string> y_labels = labels(y_ticks);
  const double left = detail::left_margin(y_labels);
  const Axis x(extent.x_low, extent.x_high > extent.x_low ? extent.x_high : extent.x_low + 1, left, right, false);
  out += detail::title(left, right, plot.title);
  for (std::size_t i = 0; i < y_ticks.size(); ++i) {
    out += detail::line(left, y.at(y_ticks[i]), right, y.at(y_ticks[i]), "grid");
    out += detail::text(left - 6, y.at(y_ticks[i]) + 4, "tick end", y_labels[i]);
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
  for (const auto& series : plot.series) {
    const std::string band = detail::band_path(series.band, shown, x, y, top, bottom);
    if (!band.empty()) {
      out += "<path d=\"" + band + "\" class=\"band f" + std::to_string(series.colour % 8) + "\"/>\n";
    }
  }
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
