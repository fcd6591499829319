// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/map/area_validity.hpp"

#include <algorithm>
#include <cstddef>
#include <map>
#include <numeric>
#include <utility>

namespace bevfusion {

namespace {

using Point = Eigen::Vector2d;

int sign(long double v) { return v > 0 ? 1 : v < 0 ? -1 : 0; }

// 1 where c lies left of a -> b, 0 on their line.
int turn(const Point& a, const Point& b, const Point& c) {
  const long double ux = static_cast<long double>(b.x()) - a.x();
  const long double uy = static_cast<long double>(b.y()) - a.y();
  const long double vx = static_cast<long double>(c.x()) - a.x();
  const long double vy = static_cast<long double>(c.y()) - a.y();
  return sign(ux * vy - uy * vx);
}

bool in_box(const Point& p, const Point& a, const Point& b) {
  return std::min(a.x(), b.x()) <= p.x() && p.x() <= std::max(a.x(), b.x()) && std::min(a.y(), b.y()) <= p.y() &&
         p.y() <= std::max(a.y(), b.y());
}

bool on_segment(const Point& p, const Point& a, const Point& b) { return turn(a, b, p) == 0 && in_box(p, a, b); }

enum class Where { outside, border, inside };

Where where(const Point& p, const Chain& ring) {
  bool inside = false;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Point& a = ring[i];
    const Point& b = ring[i + 1 < ring.size() ? i + 1 : 0];
    if (on_segment(p, a, b)) return Where::border;
    if ((a.y() <= p.y()) == (b.y() <= p.y())) continue;
    const bool upward = b.y() > a.y();
    if ((turn(a, b, p) > 0) == upward) inside = !inside;
  }
  return inside ? Where::inside : Where::outside;
}

// Of rings that do not cross and touch once at most, one corner on the wrong side is all that can be wrong.
bool any_is(const Chain& ring, const Chain& of, Where wrong) {
  return std::any_of(ring.begin(), ring.end(), [&](const Point& p) { return where(p, of) == wrong; });
}

struct Segment {
  std::size_t ring;
  std::size_t index;
  Point a;
  Point b;
};

class Checker {
 public:
  explicit Checker(const std::vector<Chain>& rings) {
    for (const Chain& ring : rings) {
      Chain own;
      for (const Point& p : ring) {
        if (own.empty() || own.back() != p) own.push_back(p);
      }
      if (own.size() > 1 && own.front() == own.back()) own.pop_back();
      if (own.empty() && !rings_.empty()) continue;  // a hole without nodes is none
      rings_.push_back(std::move(own));
    }
  }

  bool valid() {
    for (const Chain& ring : rings_) {
      if (ring.size() < 3) return false;
    }
    if (rings_.empty() || !segments_are_apart() || cut_in_two()) return false;
    for (std::size_t h = 1; h < rings_.size(); ++h) {
      if (any_is(rings_[h], rings_[0], Where::outside)) return false;
      for (std::size_t other = 1; other < rings_.size(); ++other) {
        if (other != h && any_is(rings_[h], rings_[other], Where::inside)) return false;
      }
    }
    return true;
  }

 private:
  bool segments_are_apart() {
    std::vector<Segment> all;
    for (std::size_t r = 0; r < rings_.size(); ++r) {
      const Chain& ring = rings_[r];
      for (std::size_t i = 0; i < ring.size(); ++i) all.push_back({r, i, ring[i], ring[i + 1 < ring.size() ? i + 1 : 0]});
    }
    const auto low = [](const Segment& s) { return std::min(s.a.x(), s.b.x()); };
    const auto high = [](const Segment& s) { return std::max(s.a.x(), s.b.x()); };
    std::sort(all.begin(), all.end(), [&](const Segment& s, const Segment& t) { return low(s) < low(t); });
    for (std::size_t i = 0; i < all.size(); ++i) {
      for (std::size_t j = i + 1; j < all.size() && low(all[j]) <= high(all[i]); ++j) {
        if (!may_meet(all[i], all[j])) return false;
      }
    }
    return true;
  }

  // Whether what two segments have in common, if anything, is allowed.
  bool may_meet(const Segment& s, const Segment& t) {
    const int s_a = turn(t.a, t.b, s.a);
    const int s_b = turn(t.a, t.b, s.b);
    const int t_a = turn(s.a, s.b, t.a);
    const int t_b = turn(s.a, s.b, t.b);
    if (s_a * s_b > 0 || t_a * t_b > 0) return true;
    if (s_a * s_b < 0 && t_a * t_b < 0) return false;
    std::vector<Point> common;
    const auto add = [&](const Point& p, const Segment& of) {
      if (on_segment(p, of.a, of.b) && std::find(common.begin(), common.end(), p) == common.end()) common.push_back(p);
    };
    add(s.a, t);
    add(s.b, t);
    add(t.a, s);
    add(t.b, s);
    if (common.size() > 1) return false;  // they overlap
    if (common.empty()) return true;
    if (s.ring != t.ring) {
      touches_[{common[0].x(), common[0].y()}].push_back(s.ring);
      touches_[{common[0].x(), common[0].y()}].push_back(t.ring);
      return true;
    }
    const std::size_t count = rings_[s.ring].size();
    return (s.index + 1) % count == t.index || (t.index + 1) % count == s.index;
  }

  // Rings and the points where they touch, joined where a ring goes through a point: a circle encloses a part of the area.
  bool cut_in_two() const {
    std::vector<std::size_t> group(rings_.size() + touches_.size());
    std::iota(group.begin(), group.end(), std::size_t{0});
    const auto root = [&group](std::size_t i) {
      while (group[i] != i) i = group[i];
      return i;
    };
    std::size_t point = rings_.size();
    for (const auto& [place, touching] : touches_) {
      std::vector<std::size_t> own = touching;
      std::sort(own.begin(), own.end());
      own.erase(std::unique(own.begin(), own.end()), own.end());
      for (const std::size_t ring : own) {
        if (root(ring) == root(point)) return true;
        group[root(ring)] = root(point);
      }
      ++point;
    }
    return false;
  }

  std::vector<Chain> rings_;
  std::map<std::pair<double, double>, std::vector<std::size_t>> touches_;
};

}  // namespace

bool is_valid_area(const std::vector<Chain>& rings) { return Checker(rings).valid(); }

}  // namespace bevfusion
