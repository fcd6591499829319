// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/pictures/legend.hpp"

#include <algorithm>

#include "bevfusion/pictures/text.hpp"

namespace bevfusion {
namespace {

constexpr Colour paper = {255, 255, 255};
constexpr Colour ink = {20, 20, 20};

struct Place {
  int x, y;
};

}  // namespace

Image with_legend(const Image& image, const std::vector<LegendEntry>& entries, int scale) {
  const int side = text_height(scale);
  const int gap = 4 * scale;
  std::vector<Place> places;
  Place next{gap, image.height + gap};
  for (const LegendEntry& entry : entries) {
    const int width = side + text_width(entry.text, scale) + 2 * gap;
    if (next.x > gap && next.x + width > image.width) {
      next = {gap, next.y + side + gap};
    }
    places.push_back(next);
    next.x += width;
  }
  Image out(image.width, entries.empty() ? image.height : next.y + side + gap, paper);
  std::copy(image.rgb.begin(), image.rgb.end(), out.rgb.begin());
  for (std::size_t i = 0; i < entries.size(); ++i) {
    for (int v = 0; v < side; ++v) {
      for (int u = 0; u < side; ++u) out.set(places[i].x + u, places[i].y + v, entries[i].colour);
    }
    draw_text(out, places[i].x + side + scale, places[i].y, entries[i].text, ink, paper, scale);
  }
  return out;
}

}  // namespace bevfusion
