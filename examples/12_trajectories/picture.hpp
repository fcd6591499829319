// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "../support/svg.hpp"

namespace example {

/// Descents in the plane of the two losses, with the front that they are to reach.
struct Picture {
  using Path = std::vector<std::pair<double, double>>;
  std::string title;
  std::vector<Path> paths;
  Path front;
  double x_low = 0, x_high = 1, y_low = 0, y_high = 1;
};

/// The picture as an SVG element in the page's colours: the front grey and broad, a ring where a descent begins, a dot where it
/// ends.
inline std::string svg(const Picture& picture) {
  constexpr int width = 300;
  constexpr int height = 270;
  const Axis x(picture.x_low, picture.x_high, 44, width - 12.0, false);
  const Axis y(picture.y_low, picture.y_high, height - 42.0, 30, false);
  std::string out = detail::open_svg(width, height, picture.title) + detail::title(44, width - 12, picture.title);
  for (const double tick : y.ticks()) {
    out += detail::line(44, y.at(tick), width - 12, y.at(tick), "grid");
    out += detail::text(38, y.at(tick) + 4, "tick end", label(tick));
  }
  for (const double tick : x.ticks()) {
    out += detail::text(x.at(tick), height - 25, "tick middle", label(tick));
  }
  out += detail::text((44 + width - 12) / 2.0, height - 8, "tick middle", "first loss");
  out += detail::text(12, height / 2.0, "tick middle", "second loss", detail::turned(12, height / 2.0));
  const auto place = [&](const std::pair<double, double>& point) {
    return std::pair(x.at(std::clamp(point.first, picture.x_low, picture.x_high)),
                     y.at(std::clamp(point.second, picture.y_low, picture.y_high)));
  };
  const auto line = [&](const Picture::Path& path, const std::string& more) {
    std::string steps;
    for (const auto& point : path) {
      const auto [at_x, at_y] = place(point);
      steps += (steps.empty() ? "M" : "L") + label(at_x, 4) + " " + label(at_y, 4) + " ";
    }
    return "<path d=\"" + steps + "\" " + more + "/>\n";
  };
  out += line(picture.front, "class=\"series c0\" style=\"stroke-width:6;opacity:.35\"");
  for (std::size_t k = 0; k < picture.paths.size(); ++k) {
    const std::string colour = std::to_string(k + 1);
    out += line(picture.paths[k], "class=\"series c" + colour + "\" style=\"stroke-width:1.4\"");
    for (const bool is_end : {false, true}) {
      const auto [at_x, at_y] = place(is_end ? picture.paths[k].back() : picture.paths[k].front());
      out += "<circle cx=\"" + label(at_x, 4) + "\" cy=\"" + label(at_y, 4) + "\" r=\"4\" style=\"stroke:var(--c" + colour +
             ");fill:" + (is_end ? "var(--c" + colour + ")" : "none") + "\"/>\n";
    }
  }
  return out + "</svg>\n";
}

}  // namespace example
