// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/map/square_clip.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace bevfusion {

namespace {

// The half plane where a coordinate is at least a bound, or at most.
struct HalfPlane {
  int axis;
  double bound;
  bool above;

  bool holds(const Eigen::Vector2d& p) const { return above ? p[axis] >= bound : p[axis] <= bound; }
  Eigen::Vector2d crossing(const Eigen::Vector2d& a, const Eigen::Vector2d& b) const {
    Eigen::Vector2d p = a + (bound - a[axis]) / (b[axis] - a[axis]) * (b - a);
    p[axis] = bound;
    return p;
  }
};

// Pieces of rings between where they enter a half plane and where they leave it.
struct Pieces {
  std::vector<Chain> chains;

  void cut(const Chain& ring, const HalfPlane& plane) {
    const std::size_t count = ring.size();
    std::size_t start = 0;
    while (plane.holds(ring[start]) || !plane.holds(ring[(start + 1) % count])) ++start;
    for (std::size_t i = 0; i < count; ++i) {
      const Eigen::Vector2d& a = ring[(start + i) % count];
      const Eigen::Vector2d& b = ring[(start + i + 1) % count];
      const bool before = plane.holds(a);
      const bool after = plane.holds(b);
      if (!before && after) chains.push_back({plane.crossing(a, b)});
      if (after) chains.back().push_back(b);
      if (before && !after) chains.back().push_back(plane.crossing(a, b));
    }
  }

  // Along the border the area lies between its first crossing and its second, its third and its fourth, ...: these are joined.
  std::vector<Chain> join(const HalfPlane& plane) const {
    struct End {
      double place;
      std::size_t chain;
      bool last;
    };
    std::vector<End> ends;
    for (std::size_t c = 0; c < chains.size(); ++c) {
      ends.push_back({chains[c].front()[1 - plane.axis], c, false});
      ends.push_back({chains[c].back()[1 - plane.axis], c, true});
    }
    std::stable_sort(ends.begin(), ends.end(), [](const End& a, const End& b) { return a.place < b.place; });
    std::vector<std::size_t> partner(ends.size());  // of end 2 c (first) or 2 c + 1 (last), numbered alike
    for (std::size_t i = 0; i + 1 < ends.size(); i += 2) {
      const std::size_t a = 2 * ends[i].chain + (ends[i].last ? 1 : 0);
      const std::size_t b = 2 * ends[i + 1].chain + (ends[i + 1].last ? 1 : 0);
      partner[a] = b;
      partner[b] = a;
    }
    std::vector<Chain> rings;
    std::vector<bool> used(chains.size(), false);
    for (std::size_t c = 0; c < chains.size(); ++c) {
      if (used[c]) continue;
      Chain ring;
      // Rings of any direction: a piece may have to be walked from its last point to its first.
      for (std::size_t from = 2 * c; !used[from / 2]; from = partner[from ^ 1U]) {
        const Chain& piece = chains[from / 2];
        used[from / 2] = true;
        if (from % 2 == 0) {
          ring.insert(ring.end(), piece.begin(), piece.end());
        } else {
          ring.insert(ring.end(), piece.rbegin(), piece.rend());
        }
      }
      rings.push_back(std::move(ring));
    }
    return rings;
  }
};

void keep_part(ClippedArea& area, const HalfPlane& plane) {
  ClippedArea rest;
  Pieces pieces;
  const auto part = [&](std::vector<Chain>& rings, std::vector<Chain>& whole) {
    for (Chain& ring : rings) {
      const auto inside = std::count_if(ring.begin(), ring.end(), [&](const Eigen::Vector2d& p) { return plane.holds(p); });
      if (inside == 0) continue;
      if (static_cast<std::size_t>(inside) == ring.size()) {
        whole.push_back(std::move(ring));
      } else {
        pieces.cut(ring, plane);
      }
    }
  };
  part(area.outlines, rest.outlines);
  part(area.holes, rest.holes);
  for (Chain& ring : pieces.join(plane)) rest.outlines.push_back(std::move(ring));
  area = std::move(rest);
}

double twice_area(const Chain& ring) {
  double sum = 0;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Eigen::Vector2d& a = ring[i];
    const Eigen::Vector2d& b = ring[i + 1 < ring.size() ? i + 1 : 0];
    sum += a.x() * b.y() - a.y() * b.x();
  }
  return sum;
}

}  // namespace

ClippedArea clip_area(const std::vector<Chain>& rings, double size) {
  ClippedArea area;
  for (std::size_t r = 0; r < rings.size(); ++r) {
    if (!rings[r].empty()) (r == 0 ? area.outlines : area.holes).push_back(rings[r]);
  }
  for (const int axis : {0, 1}) {
    keep_part(area, {axis, 0.0, true});
    keep_part(area, {axis, size, false});
  }
  // What only touches the square has no area in it.
  const auto flat = [](const Chain& ring) { return twice_area(ring) == 0; };
  area.outlines.erase(std::remove_if(area.outlines.begin(), area.outlines.end(), flat), area.outlines.end());
  for (Chain& ring : area.outlines) {
    if (twice_area(ring) > 0) std::reverse(ring.begin(), ring.end());
  }
  for (Chain& ring : area.holes) {
    if (twice_area(ring) < 0) std::reverse(ring.begin(), ring.end());
  }
  return area;
}

Chain with_own_crossings(const Chain& line) {
  const std::size_t count = line.size() < 2 ? 0 : line.size() - 1;  // of segments
  std::vector<std::vector<double>> cuts(count);
  const auto cross = [](const Eigen::Vector2d& u, const Eigen::Vector2d& v) { return u.x() * v.y() - u.y() * v.x(); };
  for (std::size_t i = 0; i < count; ++i) {
    const Eigen::Vector2d u = line[i + 1] - line[i];
    for (std::size_t j = i + 2; j < count; ++j) {
      const Eigen::Vector2d v = line[j + 1] - line[j];
      const Eigen::Vector2d between = line[j] - line[i];
      const double det = cross(u, v);
      if (det == 0) continue;
      const double s = cross(between, v) / det;
      const double t = cross(between, u) / det;
      if (!(s >= 0 && s <= 1 && t >= 0 && t <= 1)) continue;
      if (s > 0 && s < 1) cuts[i].push_back(s);
      if (t > 0 && t < 1) cuts[j].push_back(t);
    }
  }
  Chain result;
  for (std::size_t i = 0; i < count; ++i) {
    result.push_back(line[i]);
    std::sort(cuts[i].begin(), cuts[i].end());
    for (const double s : cuts[i]) result.push_back(line[i] + s * (line[i + 1] - line[i]));
  }
  if (!line.empty()) result.push_back(line.back());
  return result;
}

std::vector<Chain> clip_line(const Chain& line, double size) {
  std::vector<Chain> pieces;
  bool open = false;  // the last piece goes on
  for (std::size_t i = 1; i < line.size(); ++i) {
    // Liang and Barsky.
    const Eigen::Vector2d& a = line[i - 1];
    const Eigen::Vector2d& b = line[i];
    double from = 0;
    double to = 1;
    int from_side = -1;  // 0 ... 3: left, right, below, above
    int to_side = -1;
    for (int side = 0; side < 4; ++side) {
      const int axis = side / 2;
      const double sign = side % 2 == 0 ? 1.0 : -1.0;
      const double bound = side % 2 == 0 ? 0.0 : size;
      const double at_a = sign * (a[axis] - bound);
      const double at_b = sign * (b[axis] - bound);
      if (at_a < 0 && at_b < 0) to = -1;
      if ((at_a < 0) == (at_b < 0)) continue;
      const double t = at_a / (at_a - at_b);
      if (at_a < 0 && t > from) {
        from = t;
        from_side = side;
      } else if (at_b < 0 && t < to) {
        to = t;
        to_side = side;
      }
    }
    if (from >= to) {
      open = false;
      continue;
    }
    const auto place = [&](double t, int side, const Eigen::Vector2d& own) -> Eigen::Vector2d {
      if (side < 0) return own;
      Eigen::Vector2d p = a + t * (b - a);
      p[side / 2] = side % 2 == 0 ? 0.0 : size;
      return p.cwiseMax(0.0).cwiseMin(size);
    };
    if (!open || from_side >= 0) pieces.push_back({place(from, from_side, a)});
    pieces.back().push_back(place(to, to_side, b));
    open = to_side < 0;
  }
  return pieces;
}

}  // namespace bevfusion
