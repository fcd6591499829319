// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/map/area_outline.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace bevfusion {

namespace {

using Point = Eigen::Vector2d;

constexpr std::size_t longest_chain = 32;  // edges: what is far away is told by a circle around the chain

double cross(const Point& u, const Point& v) { return u.x() * v.y() - u.y() * v.x(); }

struct Edge {
  Point a;
  Point b;

  /// By a share of its length; the ends themselves at 0 and 1.
  Point at(double share) const { return share == 0 ? a : share == 1 ? b : Point(a + share * (b - a)); }
};

struct Bounds {
  Point low;
  Point high;

  explicit Bounds(const Chain& ring) : low(ring[0]), high(ring[0]) {
    for (const Point& p : ring) {
      low = low.cwiseMin(p);
      high = high.cwiseMax(p);
    }
  }
  bool has(const Point& p) const { return (p.array() >= low.array()).all() && (p.array() <= high.array()).all(); }
};

// What lies near a place, by squares of the plane.
class Squares {
 public:
  explicit Squares(double side) : side_(side) {}

  void add(const Edge& edge, std::size_t item) {
    each(edge, [&](std::uint64_t key) { items_[key].push_back(item); });
  }
  void add(const Bounds& bounds, std::size_t item) {
    for (std::int64_t i = number(bounds.low.x()); i <= number(bounds.high.x()); ++i) {
      for (std::int64_t j = number(bounds.low.y()); j <= number(bounds.high.y()); ++j) items_[key_of(i, j)].push_back(item);
    }
  }

  // The edges that may meet this one; each once, in the order in which they were added.
  std::vector<std::size_t> near(const Edge& edge) const {
    std::vector<std::size_t> found;
    each(edge, [&](std::uint64_t key) {
      const auto square = items_.find(key);
      if (square != items_.end()) found.insert(found.end(), square->second.begin(), square->second.end());
    });
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
  }

  const std::vector<std::size_t>* at(const Point& p) const {
    const auto square = items_.find(key_of(number(p.x()), number(p.y())));
    return square == items_.end() ? nullptr : &square->second;
  }

 private:
  std::int64_t number(double place) const { return static_cast<std::int64_t>(std::floor(place / side_)); }
  static std::uint64_t key_of(std::int64_t i, std::int64_t j) {
    return static_cast<std::uint64_t>(i) << 32U ^ (static_cast<std::uint64_t>(j) & 0xffffffffU);
  }

  // The squares that an edge passes through or comes near to, column by column: about as many as it is squares long.
  template <typename Each>
  void each(const Edge& edge, Each&& each) const {
    constexpr double margin = 2 * touching_areas;
    const Point& left = edge.a.x() <= edge.b.x() ? edge.a : edge.b;
    const Point& right = edge.a.x() <= edge.b.x() ? edge.b : edge.a;
    const double across = right.x() - left.x();
    const std::int64_t last = number(right.x() + margin);
    for (std::int64_t i = number(left.x() - margin); i <= last; ++i) {
      const auto height = [&](double x) {
        return across > 0 ? left.y() + std::clamp((x - left.x()) / across, 0.0, 1.0) * (right.y() - left.y()) : left.y();
      };
      const double from = across > side_ ? height(static_cast<double>(i) * side_ - margin) : left.y();
      const double to = across > side_ ? height(static_cast<double>(i + 1) * side_ + margin) : right.y();
      const std::int64_t top = number(std::max(from, to) + margin);
      for (std::int64_t j = number(std::min(from, to) - margin); j <= top; ++j) each(key_of(i, j));
    }
  }

  double side_;
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> items_;
};

class Union {
 public:
  explicit Union(const std::vector<std::vector<Chain>>& areas) : areas_(areas) {
    double length = 0;
    double sides = 0;
    double extent = 0;
    for (const std::vector<Chain>& rings : areas_) {
      bounds_.emplace_back(rings[0]);
      sides += (bounds_.back().high - bounds_.back().low).sum();
      extent += (bounds_.back().high - bounds_.back().low).prod();
      for (const Chain& ring : rings) {
        for_each_edge(ring, [&](const Edge& edge) {
          edges_.push_back(edge);
          length += (edge.b - edge.a).norm();
        });
      }
    }
    // Sides of a real map's edges and areas, or larger, so that what is entered is a small multiple of what there is.
    near_edges_ = Squares(std::max(8.0, length / static_cast<double>(edges_.size() + 1)));
    const auto areas_and_one = static_cast<double>(bounds_.size() + 1);
    near_areas_ = Squares(std::max({32.0, sides / areas_and_one, std::sqrt(extent / areas_and_one)}));
    for (std::size_t e = 0; e < edges_.size(); ++e) near_edges_.add(edges_[e], e);
    for (std::size_t k = 0; k < bounds_.size(); ++k) near_areas_.add(bounds_[k], k);
  }

  std::vector<Chain> outline() const {
    std::vector<Chain> chains;
    for (const std::vector<Chain>& rings : areas_) {
      for (const Chain& ring : rings) {
        bool open = false;  // the last chain ends where the next edge begins
        for_each_edge(ring, [&](const Edge& edge) {
          bool goes_on = false;
          for (const Part& part : parts_on_outline(edge)) {
            if (!open || part.from > 0 || chains.back().size() > longest_chain) chains.push_back({edge.at(part.from)});
            chains.back().push_back(edge.at(part.to));
            goes_on = part.to == 1;
          }
          open = goes_on;
        });
      }
    }
    return chains;
  }

 private:
  // Of an edge, as shares of its length.
  struct Part {
    double from;
    double to;
  };

  template <typename Each>
  static void for_each_edge(const Chain& ring, Each&& each) {
    for (std::size_t i = 0; i < ring.size(); ++i) {
      const Edge edge{ring[i], ring[i + 1 < ring.size() ? i + 1 : 0]};
      if (edge.a != edge.b) each(edge);
    }
  }

  bool has(const Point& p) const {
    const std::vector<std::size_t>* near = near_areas_.at(p);
    return near != nullptr &&
           std::any_of(near->begin(), near->end(), [&](std::size_t k) { return bounds_[k].has(p) && is_inside(p, areas_[k]); });
  }

  // By the even-odd rule, so that inner rings are holes.
  static bool is_inside(const Point& p, const std::vector<Chain>& rings) {
    bool inside = false;
    for (const Chain& ring : rings) {
      for (std::size_t i = 0; i < ring.size(); ++i) {
        const Point& a = ring[i];
        const Point& b = ring[i + 1 < ring.size() ? i + 1 : 0];
        if ((a.y() <= p.y()) == (b.y() <= p.y())) continue;
        if (a.x() + (p.y() - a.y()) / (b.y() - a.y()) * (b.x() - a.x()) > p.x()) inside = !inside;
      }
    }
    return inside;
  }

  // Where others cross the edge or end on it, and both its ends: shares of its length, rising, none nearer to the last than what
  // touches.
  std::vector<double> cuts_of(const Edge& edge) const {
    const Point along = edge.b - edge.a;
    const double length = along.norm();
    std::vector<double> meetings;
    for (const std::size_t other : near_edges_.near(edge)) {
      const Edge& f = edges_[other];
      const double det = cross(along, f.b - f.a);
      if (det != 0) {
        const double s = cross(f.a - edge.a, f.b - f.a) / det;
        const double t = cross(f.a - edge.a, along) / det;
        if (s > 0 && s < 1 && t >= 0 && t <= 1) meetings.push_back(s);
      }
      for (const Point& end : {f.a, f.b}) {
        const double s = along.dot(end - edge.a) / (length * length);
        if (s > 0 && s < 1 && (edge.at(s) - end).norm() <= 2 * touching_areas) meetings.push_back(s);
      }
    }
    std::sort(meetings.begin(), meetings.end());
    std::vector<double> cuts = {0};
    for (const double s : meetings) {
      if ((s - cuts.back()) * length > touching_areas && (1 - s) * length > touching_areas) cuts.push_back(s);
    }
    cuts.push_back(1);
    return cuts;
  }

  std::vector<Part> parts_on_outline(const Edge& edge) const {
    const Point along = (edge.b - edge.a).normalized();
    const Point aside = touching_areas * Point(-along.y(), along.x());
    const std::vector<double> cuts = cuts_of(edge);
    std::vector<Part> parts;
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      const Point middle = edge.at(0.5 * (cuts[i] + cuts[i + 1]));
      if (has(middle + aside) == has(middle - aside)) continue;
      if (!parts.empty() && parts.back().to == cuts[i]) {
        parts.back().to = cuts[i + 1];
      } else {
        parts.push_back({cuts[i], cuts[i + 1]});
      }
    }
    return parts;
  }

  const std::vector<std::vector<Chain>>& areas_;
  std::vector<Bounds> bounds_;
  std::vector<Edge> edges_;
  Squares near_areas_{0};
  Squares near_edges_{0};
};

}  // namespace

std::vector<Chain> outline_of_union(const std::vector<std::vector<Chain>>& areas) { return Union(areas).outline(); }

std::vector<Chain> two_longest_edges(const Chain& ring) {
  std::vector<Chain> edges;
  for (std::size_t i = 0; i < ring.size(); ++i) edges.push_back({ring[i], ring[i + 1 < ring.size() ? i + 1 : 0]});
  std::stable_sort(edges.begin(), edges.end(), [](const Chain& one, const Chain& other) {
    return (one[1] - one[0]).squaredNorm() > (other[1] - other[0]).squaredNorm();
  });
  if (edges.size() > 2) edges.resize(2);
  return edges;
}

}  // namespace bevfusion
