// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/chart.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <iterator>

namespace bevfusion {
namespace {

using example::Axis;
using example::escaped;
using example::label;
using example::detail::line;
using example::detail::text;

std::string colour_class(int colour) { return std::to_string(colour % 8); }

std::string with_caption(const std::string& title, const std::string& svg) {
  return "<figure><figcaption>" + escaped(title) + "</figcaption>" + svg + "</figure>\n";
}

/// Every n-th tick, so that labels have room.
std::size_t stride(std::size_t ticks, std::size_t room) { return ticks <= room ? 1 : (ticks + room - 1) / room; }

std::string path_of(const ChartLine& one, const example::detail::Shown& shown, const Axis& x, const Axis& y, double top,
                    double bottom) {
  std::string path;
  for (const auto& point : one.points) {
    if (shown(point)) {
      path += (path.empty() ? "M" : "L") + label(x.at(point.first), 5) + " " +
              label(std::clamp(y.at(point.second), top, bottom), 5) + " ";
    }
  }
  return path;
}

std::string lines_of(const Chart& chart, const Axis& x, const Axis& y, double top, double bottom) {
  const example::detail::Shown shown(chart.logarithmic);
  std::string out;
  for (const bool pale : {true, false}) {
    for (const ChartLine& one : chart.lines) {
      if (one.pale != pale) {
        continue;
      }
      const std::string band = example::detail::band_path(one.band, shown, x, y, top, bottom);
      out += band.empty() ? "" : "<path d=\"" + band + "\" class=\"band f" + colour_class(one.colour) + "\"/>\n";
      const std::string path = path_of(one, shown, x, y, top, bottom);
      const std::string kind =
          pale ? "pale" : std::string(one.dashed ? "series dashed c" : "series c") + colour_class(one.colour);
      if (path.find('L') != std::string::npos) {
        out += "<path d=\"" + path + "\" class=\"" + kind + "\"/>\n";
      } else if (!path.empty()) {  // a single point
        const auto point = std::find_if(one.points.begin(), one.points.end(), shown);
        out += "<circle cx=\"" + label(x.at(point->first), 5) + "\" cy=\"" +
               label(std::clamp(y.at(point->second), top, bottom), 5) + "\" r=\"3\" class=\"f" + colour_class(one.colour) +
               "\"/>\n";
      }
    }
  }
  return out;
}

ChartRange x_range(const Chart& chart) {
  ChartRange range;
  for (const ChartLine& one : chart.lines) {
    for (const auto& point : one.points) {
      range.low = std::min(range.low, point.first);
      range.high = std::max(range.high, point.first);
    }
  }
  return range;
}

bool begins_letter(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

/// The first letters of a name that is longer, and an ellipsis.
std::string shortened(const std::string& name, std::size_t letters) {
  std::size_t count = 0;
  std::size_t cut = name.size();
  for (std::size_t i = 0; i < name.size(); ++i) {
    if (begins_letter(name[i]) && ++count == letters) {
      cut = i;
    }
  }
  return count <= letters ? name : name.substr(0, cut) + "\u2026";
}

/// The longest of the names, in pixels.
double room_for(const std::vector<std::string>& names) {
  double most = 0;
  for (const std::string& name : names) {
    const auto letters = std::count_if(name.begin(), name.end(), begins_letter);
    most = std::max(most, 6.6 * static_cast<double>(letters));
  }
  return most;
}

}  // namespace

std::string decimal(double value, int decimals) {
  if (!std::isfinite(value)) {
    return "";
  }
  std::array<char, 64> text{};
  const double shown = std::abs(value) < 0.5 * std::pow(10, -decimals) ? 0 : value;  // not -0.0
  std::snprintf(text.data(), text.size(), "%.*f", decimals, std::abs(shown));
  return (shown < 0 ? "\u2212" : "") + std::string(text.data());
}

std::string signed_decimal(double value, int decimals) {
  const std::string text = decimal(value, decimals);
  const bool zero = text.find_first_of("123456789") == std::string::npos;
  return text.empty() || value < 0 || zero ? text : "+" + text;
}

void ChartRange::add(const std::vector<ChartLine>& lines, bool logarithmic) {
  const example::detail::Shown shown(logarithmic);
  for (const ChartLine& one : lines) {
    for (const auto& point : one.points) {
      if (shown(point)) {
        low = std::min(low, point.second);
        high = std::max(high, point.second);
      }
    }
    for (const example::Range& range : one.band) {
      if (shown(range)) {
        low = std::min(low, range.low);
        high = std::max(high, range.high);
      }
    }
  }
}

std::string open_image(double width, double height, const std::string& title, const std::string& description) {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + label(width, 5) + " " + label(height, 5) + "\" width=\"" +
         label(width, 5) + "\" height=\"" + label(height, 5) + "\" role=\"img\">\n<title>" + escaped(title) + "</title>\n<desc>" +
         escaped(description) + "</desc>\n";
}

std::string figure_html(const Chart& chart) {
  const double right = chart.width - 10.0;
  const double top = 8;
  const double bottom = chart.height - 34.0;
  std::string out = open_image(chart.width, chart.height, chart.title, chart.description);
  ChartRange extent = chart.y;
  if (extent.empty()) {
    extent.add(chart.lines, chart.logarithmic);
  }
  const ChartRange across = x_range(chart);
  if (extent.empty() || across.empty()) {
    return with_caption(chart.title, out + text(chart.width / 2.0, (top + bottom) / 2, "note middle", "not measured") + "</svg>");
  }
  if (std::isfinite(chart.reference)) {
    extent.low = std::min(extent.low, chart.reference);
    extent.high = std::max(extent.high, chart.reference);
  }
  const double largest = std::max(std::abs(extent.low), std::abs(extent.high));
  const double span = extent.high - extent.low > 1e-9 * largest ? extent.high - extent.low : std::max(largest, 1e-6);
  const Axis y(chart.logarithmic ? extent.low / 1.12 : extent.low - 0.06 * span,
               chart.logarithmic ? extent.high * 1.12 : extent.high + 0.06 * span, bottom, top, chart.logarithmic);
  const std::vector<double> ticks = y.ticks();
  std::vector<std::string> names;
  std::transform(ticks.begin(), ticks.end(), std::back_inserter(names), [](double tick) { return label(tick, 6); });
  const double left = std::max(34.0, 10 + room_for(names));
  const Axis x(across.low, across.high > across.low ? across.high : across.low + 1, left, right, false);
  const std::size_t every = stride(ticks.size(), static_cast<std::size_t>((bottom - top) / 15));
  for (std::size_t i = 0; i < ticks.size(); i += every) {
    out += line(left, y.at(ticks[i]), right, y.at(ticks[i]), "grid") + text(left - 5, y.at(ticks[i]) + 4, "tick end", names[i]);
  }
  std::vector<double> places;
  for (const double tick : x.ticks()) {
    if (!chart.whole_x || tick == std::round(tick)) {
      places.push_back(tick);
    }
  }
  const std::size_t step = stride(places.size(), static_cast<std::size_t>((right - left) / 46));
  for (std::size_t i = 0; i < places.size(); i += step) {
    out += line(x.at(places[i]), bottom, x.at(places[i]), bottom + 4, "axis") +
           text(x.at(places[i]), bottom + 16, "tick middle", label(places[i], 6));
  }
  out += line(left, bottom, right, bottom, "axis");
  out += text((left + right) / 2, chart.height - 4.0, "tick middle", chart.x_label);
  if (std::isfinite(chart.reference)) {
    out += line(left, y.at(chart.reference), right, y.at(chart.reference), "level");
  }
  return with_caption(chart.title, out + lines_of(chart, x, y, top, bottom) + "</svg>");
}

std::string figure_html(const BarChart& chart) {
  constexpr double bar = 15;
  constexpr double between = 12;
  double most = 0;
  std::vector<std::string> names;
  for (const BarGroup& group : chart.groups) {
    names.push_back(group.name);
    for (std::size_t b = 0; b < group.values.size(); ++b) {
      const double error = std::isfinite(group.errors[b]) ? group.errors[b] : 0;
      most = std::isfinite(group.values[b]) ? std::max(most, group.values[b] + error) : most;
    }
  }
  const double left = 12 + room_for(names);
  const double right = chart.width - 46.0;
  const double group_height = bar * static_cast<double>(chart.bars.size()) + between;
  const double height = 6 + group_height * static_cast<double>(chart.groups.size());
  const Axis x(0, most > 0 ? most : 1, left, right, false);
  std::string out = open_image(chart.width, height, chart.title, chart.description);
  for (std::size_t g = 0; g < chart.groups.size(); ++g) {
    const BarGroup& group = chart.groups[g];
    const double top = 4 + group_height * static_cast<double>(g);
    out += text(left - 7, top + (group_height - between) / 2 + 4, "tick end", group.name);
    for (std::size_t b = 0; b < group.values.size(); ++b) {
      if (!std::isfinite(group.values[b])) {
        continue;
      }
      const double at = top + bar * static_cast<double>(b);
      const double end = x.at(std::max(0.0, group.values[b]));
      double shown = end;
      out += "<rect x=\"" + label(left, 5) + "\" y=\"" + label(at + 1.5, 5) + "\" width=\"" +
             label(std::max(end - left, 1.0), 5) + "\" height=\"" + label(bar - 3, 4) + "\" class=\"f" +
             colour_class(chart.colours[b]) + "\"/>\n";
      if (std::isfinite(group.errors[b]) && group.errors[b] > 0) {
        shown = x.at(group.values[b] + group.errors[b]);
        out += line(x.at(std::max(0.0, group.values[b] - group.errors[b])), at + bar / 2, shown, at + bar / 2, "error");
      }
      out += text(shown + 5, at + bar / 2 + 4, "tick", decimal(group.values[b], chart.decimals));
    }
    out += line(left, top, left, top + group_height - between, "axis");
  }
  return with_caption(chart.title, out + "</svg>");
}

std::string figure_html(const EffectChart& chart) {
  constexpr double row = 40;
  constexpr double top = 16;
  ChartRange extent;
  extent.low = extent.high = 0;
  for (const EffectMark& mark : chart.marks) {
    const double half = std::isfinite(mark.half_width) ? mark.half_width : 0;
    for (const double value : {mark.value - half, mark.value + half, mark.paper}) {
      if (std::isfinite(value)) {
        extent.low = std::min(extent.low, value);
        extent.high = std::max(extent.high, value);
      }
    }
  }
  const double margin = extent.high > extent.low ? 0.06 * (extent.high - extent.low) : 1;
  const double left = 8;
  const double right = chart.width - 8.0;
  const double bottom = top + row * static_cast<double>(chart.marks.size());
  const Axis x(extent.low - margin, extent.high + margin, left, right, false);
  std::string out = open_image(chart.width, bottom + 24, chart.title, chart.description);
  out += chart.lower_is_better ? text(left, 11, "tick", "\u2190 better") : text(right, 11, "tick end", "better \u2192");
  const std::vector<double> ticks = x.ticks();
  const std::size_t every = stride(ticks.size(), static_cast<std::size_t>((right - left) / 46));
  for (std::size_t i = 0; i < ticks.size(); i += every) {
    const double at = std::clamp(x.at(ticks[i]), left + 14, right - 14);
    out += line(x.at(ticks[i]), top, x.at(ticks[i]), bottom, "grid") +
           text(at, bottom + 16, "tick middle", ticks[i] < 0 ? "\u2212" + label(-ticks[i]) : label(ticks[i]));
  }
  out += line(x.at(0), top, x.at(0), bottom, "axis");
  const auto letters = static_cast<std::size_t>((right - left) / 6.8);
  for (std::size_t m = 0; m < chart.marks.size(); ++m) {
    const EffectMark& mark = chart.marks[m];
    const double at = top + row * static_cast<double>(m);
    out += text(left, at + 12, "strong", shortened(mark.name, letters));
    if (std::isfinite(mark.value) && std::isfinite(mark.half_width)) {
      out += line(x.at(mark.value - mark.half_width), at + 20, x.at(mark.value + mark.half_width), at + 20,
                  ("series c" + colour_class(mark.colour)).c_str());
    }
    if (std::isfinite(mark.value)) {
      out += "<circle cx=\"" + label(x.at(mark.value), 5) + "\" cy=\"" + label(at + 20, 5) + "\" r=\"4.5\" class=\"f" +
             colour_class(mark.colour) + "\"/>\n";
    }
    if (std::isfinite(mark.paper)) {
      const double centre = x.at(mark.paper);
      const auto point = [&](double dx, double dy) { return label(centre + dx, 5) + "," + label(at + 31 + dy, 5) + " "; };
      out += "<polygon points=\"" + point(0, -5) + point(5, 0) + point(0, 5) + point(-5, 0) + "\" class=\"paper\"/>\n";
    }
  }
  return with_caption(chart.title, out + "</svg>");
}

}  // namespace bevfusion
