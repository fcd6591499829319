// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/map/opencv_shapes.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>

namespace bevfusion {

namespace {

// Places between pixels are numbers of 2^-16 pixel.
constexpr int fraction_bits = 16;
constexpr std::int64_t one = std::int64_t{1} << fraction_bits;
constexpr std::int64_t half = one / 2;

std::int64_t rounded(std::int64_t fixed) { return (fixed + half) >> fraction_bits; }
Pixel fixed(const Pixel& p) { return {p.x * one, p.y * one}; }

void fill_row(std::int64_t y, std::int64_t first, std::int64_t last, std::uint8_t value, const PixelPlane& plane) {
  if (y < 0 || y >= plane.height) return;
  const std::int64_t end = std::min<std::int64_t>(last, plane.width - 1);
  for (std::int64_t x = std::max<std::int64_t>(first, 0); x <= end; ++x) plane.set(x, y, value);
}

// The part of a line in [0, width) x [0, height), by Cohen and Sutherland: above and below first, then the sides; what is cut off
// is rounded toward the end that is moved. `inside` is false where nothing is left, and the ends are then cut as far as it went.
struct ClippedLine {
  Pixel from;
  Pixel to;
  bool inside;
};

ClippedLine clip(Pixel p, Pixel q, std::int64_t width, std::int64_t height) {
  const std::int64_t right = width - 1;
  const std::int64_t bottom = height - 1;
  const auto side = [right](const Pixel& at) { return at.x < 0 ? -1 : at.x > right ? 1 : 0; };
  const auto level = [bottom](const Pixel& at) { return at.y < 0 ? -1 : at.y > bottom ? 1 : 0; };
  // The whole number that a product over a quotient, taken in doubles, is cut to.
  const auto part = [](std::int64_t way, std::int64_t rise, std::int64_t run) {
    return static_cast<std::int64_t>(static_cast<double>(way) * static_cast<double>(rise) / static_cast<double>(run));
  };
  const auto apart = [&] { return (side(p) != 0 && side(p) == side(q)) || (level(p) != 0 && level(p) == level(q)); };
  if (apart()) return {p, q, false};
  for (Pixel* end : {&p, &q}) {
    if (level(*end) == 0) continue;
    const std::int64_t y = level(*end) < 0 ? 0 : bottom;
    end->x += part(y - end->y, q.x - p.x, q.y - p.y);
    end->y = y;
  }
  if (apart()) return {p, q, false};
  for (Pixel* end : {&p, &q}) {
    if (side(*end) == 0) continue;
    const std::int64_t x = side(*end) < 0 ? 0 : right;
    end->y += part(x - end->x, q.y - p.y, q.x - p.x);
    end->x = x;
  }
  return {p, q, true};
}

// Bresenham's line from its left end on, both ends included: at each step along the longer side the nearest pixel, of two that
// are equally near the one that was passed first.
void draw_line(const Pixel& p, const Pixel& q, std::uint8_t value, const PixelPlane& plane) {
  ClippedLine line = clip(p, q, plane.width, plane.height);
  if (!line.inside) return;
  if (line.to.x < line.from.x) std::swap(line.from, line.to);
  const std::int64_t across = line.to.x - line.from.x;
  const std::int64_t down = std::abs(line.to.y - line.from.y);
  const std::int64_t sign = line.to.y < line.from.y ? -1 : 1;
  const std::int64_t longer = std::max(across, down);
  const std::int64_t shorter = std::min(across, down);
  for (std::int64_t i = 0; i <= longer; ++i) {
    const std::int64_t aside = longer == 0 ? 0 : (2 * shorter * i + longer - 1) / (2 * longer);
    if (down > across) {
      plane.set(line.from.x + aside, line.from.y + sign * i, value);
    } else {
      plane.set(line.from.x + i, line.from.y + sign * aside, value);
    }
  }
}

// A line between places given in fractions: whole steps along the longer side from its lesser end, and the other end itself.
void draw_fixed_line(const Pixel& p, const Pixel& q, std::uint8_t value, const PixelPlane& plane) {
  const ClippedLine line = clip(p, q, plane.width * one, plane.height * one);
  if (!line.inside) return;
  const std::int64_t dx = line.to.x - line.from.x;
  const std::int64_t dy = line.to.y - line.from.y;
  const bool flat = std::abs(dx) > std::abs(dy);
  const bool backward = flat ? dx < 0 : dy < 0;
  const Pixel& first = backward ? line.to : line.from;
  const Pixel& last = backward ? line.from : line.to;
  const auto put = [&](std::int64_t x, std::int64_t y) {
    if (plane.has(x, y)) plane.set(x, y, value);
  };
  // Both ends of the step's quotient change sign together when the line is walked backward.
  const std::int64_t along = flat ? std::abs(dx) : std::abs(dy);
  const std::int64_t aside = (flat ? dy : dx) * (backward ? -1 : 1);
  const std::int64_t step = aside * one / (along | 1);
  put(rounded(last.x), rounded(last.y));
  std::int64_t major = rounded(flat ? first.x : first.y);
  std::int64_t minor = (flat ? first.y : first.x) + half;
  for (std::int64_t i = along >> fraction_bits; i >= 0; --i, ++major, minor += step) {
    put(flat ? major : minor >> fraction_bits, flat ? minor >> fraction_bits : major);
  }
}

// A convex shape with corners in fractions: its outline, and row by row what lies between its left and its right side. Each side
// starts anew at each corner, at the corner's own x and not at where the row cuts the edge.
void fill_convex(const std::array<Pixel, 4>& corners, std::uint8_t value, const PixelPlane& plane) {
  const std::size_t count = corners.size();
  std::size_t top = 0;
  std::int64_t lowest = corners[0].y;
  for (std::size_t i = 0; i < count; ++i) {
    draw_fixed_line(corners[(i + count - 1) % count], corners[i], value, plane);
    if (corners[i].y < corners[top].y) top = i;
    lowest = std::max(lowest, corners[i].y);
  }
  struct Side {
    std::size_t corner;
    std::size_t step;
    std::int64_t end;  // first row that it has no edge for
    std::int64_t x = -one;
    std::int64_t slope = 0;
  };
  const std::int64_t first_row = rounded(corners[top].y);
  const std::int64_t last_row = std::min<std::int64_t>(rounded(lowest), plane.height - 1);
  std::array<Side, 2> sides = {Side{top, 1, first_row}, Side{top, count - 1, first_row}};
  std::size_t edges = count;
  for (std::int64_t row = first_row; row == first_row || row <= last_row; ++row) {
    for (Side& side : sides) {
      if (row < side.end) continue;
      // The next edge that reaches below this row; where there is none, the outline alone is left.
      std::size_t from = side.corner;
      std::size_t to = from;
      while (edges > 0 && rounded(corners[to].y) <= row) {
        from = to;
        to = (to + side.step) % count;
        --edges;
      }
      const std::int64_t rows = rounded(corners[to].y) - row;
      if (rows <= 0) return;
      side.slope = ((corners[to].x - corners[from].x) * 2 + rows) / (2 * rows);
      side.x = corners[from].x;
      side.end = row + rows;
      side.corner = to;
    }
    const auto [left, right] = std::minmax(sides[0].x, sides[1].x);
    fill_row(row, rounded(left), rounded(right), value, plane);
    for (Side& side : sides) side.x += side.slope;
  }
}

// A disc by the midpoint rule.
void fill_disc(const Pixel& center, std::int64_t radius, std::uint8_t value, const PixelPlane& plane) {
  std::int64_t wide = radius;
  std::int64_t error = 0;
  for (std::int64_t away = 0; away <= wide;) {
    for (const std::int64_t sign : {-1, 1}) {
      fill_row(center.y + sign * away, center.x - wide, center.x + wide, value, plane);
      fill_row(center.y + sign * wide, center.x - away, center.x + away, value, plane);
    }
    error += 2 * away + 1;
    ++away;
    if (error > 0) {
      error -= 2 * wide - 1;
      --wide;
    }
  }
}

// A line of two or more pixels: a rectangle and a disc at either end.
void draw_thick_line(const Pixel& from, const Pixel& to, int thickness, std::uint8_t value, const PixelPlane& plane) {
  const std::int64_t radius = thickness * half;
  const auto dx = static_cast<double>(from.x - to.x);
  const auto dy = static_cast<double>(to.y - from.y);
  const double square = dx * dx + dy * dy;
  if (square > 0) {
    const double scale = (static_cast<double>(radius) + (thickness % 2) * static_cast<double>(half)) / std::sqrt(square);
    const Pixel aside{std::llrint(dy * scale), std::llrint(dx * scale)};
    const Pixel p = fixed(from);
    const Pixel q = fixed(to);
    fill_convex({Pixel{p.x + aside.x, p.y + aside.y}, Pixel{p.x - aside.x, p.y - aside.y}, Pixel{q.x - aside.x, q.y - aside.y},
                 Pixel{q.x + aside.x, q.y + aside.y}},
                value, plane);
  }
  for (const Pixel& end : {from, to}) fill_disc(end, rounded(radius), value, plane);
}

// An edge of a ring: the rows from y0 to before y1, with x at y0.
struct RingEdge {
  std::int64_t y0;
  std::int64_t y1;
  std::int64_t x;
  std::int64_t slope;
};

std::optional<RingEdge> edge_of(const Pixel& p, const Pixel& q, const PixelPlane& plane) {
  if (p.y == q.y) return std::nullopt;
  Pixel from = p;
  Pixel to = q;
  if (!plane.has(p.x, p.y) || !plane.has(q.x, q.y)) {
    // Its slope is that of its part in the picture, as the outline has it.
    const ClippedLine line = clip(p, q, plane.width, plane.height);
    from.x = line.from.x;
    to.x = line.to.x;
    if (line.from.y != line.to.y) {
      from.y = line.from.y;
      to.y = line.to.y;
    }
  }
  const std::int64_t slope = (to.x - from.x) * one / (to.y - from.y);
  if (p.y < q.y) return RingEdge{p.y, q.y, from.x * one + (p.y - from.y) * slope, slope};
  return RingEdge{q.y, p.y, to.x * one + (q.y - to.y) * slope, slope};
}

}  // namespace

void fill_polygons(const std::vector<std::vector<Pixel>>& rings, std::uint8_t value, const PixelPlane& plane) {
  std::vector<RingEdge> edges;
  std::int64_t first = plane.height;
  std::int64_t end = 0;
  for (const std::vector<Pixel>& ring : rings) {
    for (std::size_t i = 0; i < ring.size(); ++i) {
      const Pixel& p = ring[i > 0 ? i - 1 : ring.size() - 1];
      draw_line(p, ring[i], value, plane);
      if (const std::optional<RingEdge> edge = edge_of(p, ring[i], plane)) {
        edges.push_back(*edge);
        first = std::min(first, edge->y0);
        end = std::max(end, edge->y1);
      }
    }
  }
  std::vector<std::int64_t> crossings;
  for (std::int64_t y = std::max<std::int64_t>(first, 0); y < std::min<std::int64_t>(end, plane.height); ++y) {
    crossings.clear();
    for (const RingEdge& edge : edges) {
      if (edge.y0 <= y && y < edge.y1) crossings.push_back(edge.x + (y - edge.y0) * edge.slope);
    }
    std::sort(crossings.begin(), crossings.end());
    for (std::size_t i = 0; i + 1 < crossings.size(); i += 2) {
      fill_row(y, (crossings[i] + one - 1) >> fraction_bits, crossings[i + 1] >> fraction_bits, value, plane);
    }
  }
}

void draw_polyline(const std::vector<Pixel>& chain, int thickness, std::uint8_t value, const PixelPlane& plane) {
  for (std::size_t i = 1; i < chain.size(); ++i) {
    if (thickness <= 1) {
      draw_line(chain[i - 1], chain[i], value, plane);
    } else {
      draw_thick_line(chain[i - 1], chain[i], thickness, value, plane);
    }
  }
}

}  // namespace bevfusion
