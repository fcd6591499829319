// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>

#include "bevfusion/geometry/box.hpp"

namespace bevfusion {

namespace detail {

/// A convex polygon in the plane; a rectangle cut by four lines has at most eight corners.
struct Polygon {
  struct Point {
    double x;
    double y;
  };
  std::array<Point, 8> corners;
  std::size_t count = 0;

  void add(Point point) {
    if (count < corners.size()) {
      corners[count++] = point;
    }
  }

  /// The part where sx x + sy y <= limit (Sutherland and Hodgman).
  Polygon cut(double sx, double sy, double limit) const {
    Polygon out;
    for (std::size_t i = 0; i < count; ++i) {
      const Point& a = corners[i];
      const Point& b = corners[(i + 1) % count];
      const double over_a = sx * a.x + sy * a.y - limit;
      const double over_b = sx * b.x + sy * b.y - limit;
      if (over_a <= 0) {
        out.add(a);
      }
      if ((over_a < 0 && over_b > 0) || (over_a > 0 && over_b < 0)) {
        const double t = over_a / (over_a - over_b);
        out.add({a.x + t * (b.x - a.x), a.y + t * (b.y - a.y)});
      }
    }
    return out;
  }

  double area() const {
    double twice = 0;
    for (std::size_t i = 0; i < count; ++i) {
      const Point& a = corners[i];
      const Point& b = corners[(i + 1) % count];
      twice += a.x * b.y - b.x * a.y;
    }
    return std::abs(twice) / 2;
  }
};

/// The footprint of a in the frame of b: origin at b's centre, x along b's heading.
inline Polygon footprint_seen_from(const Box3D& a, const Box3D& b) {
  const double cos_b = std::cos(b.yaw);
  const double sin_b = std::sin(b.yaw);
  const double centre_x = cos_b * (a.center.x() - b.center.x()) + sin_b * (a.center.y() - b.center.y());
  const double centre_y = -sin_b * (a.center.x() - b.center.x()) + cos_b * (a.center.y() - b.center.y());
  const double cos_ab = std::cos(a.yaw - b.yaw);
  const double sin_ab = std::sin(a.yaw - b.yaw);
  Polygon out;
  for (const auto& [along, across] :
       {std::array{0.5, 0.5}, std::array{-0.5, 0.5}, std::array{-0.5, -0.5}, std::array{0.5, -0.5}}) {
    const double l = along * a.length();
    const double w = across * a.width();
    out.add({centre_x + cos_ab * l - sin_ab * w, centre_y + sin_ab * l + cos_ab * w});
  }
  return out;
}

}  // namespace detail

/// Area that the footprints of two boxes share in the ground plane, m^2.
inline double footprint_intersection(const Box3D& a, const Box3D& b) {
  return detail::footprint_seen_from(a, b)
      .cut(1, 0, b.length() / 2)
      .cut(-1, 0, b.length() / 2)
      .cut(0, 1, b.width() / 2)
      .cut(0, -1, b.width() / 2)
      .area();
}

/// Intersection over union of the volumes of two upright boxes, in [0, 1]; 0 where a size is not > 0. NaN if any number of
/// theirs is not finite.
inline double iou_3d(const Box3D& a, const Box3D& b) {
  for (const Box3D* box : {&a, &b}) {
    if (!box->center.allFinite() || !box->size.allFinite() || !std::isfinite(box->yaw)) {
      return std::numeric_limits<double>::quiet_NaN();
    }
  }
  if ((a.size.array() <= 0).any() || (b.size.array() <= 0).any()) {
    return 0;
  }
  const double overlap = std::min(a.center.z() + a.height() / 2, b.center.z() + b.height() / 2) -
                         std::max(a.center.z() - a.height() / 2, b.center.z() - b.height() / 2);
  if (overlap <= 0) {
    return 0;
  }
  const double volume_a = a.size.prod();
  const double volume_b = b.size.prod();
  const double shared = std::min({footprint_intersection(a, b) * overlap, volume_a, volume_b});
  return shared / (volume_a + volume_b - shared);
}

}  // namespace bevfusion
