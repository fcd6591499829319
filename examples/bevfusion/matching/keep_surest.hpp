// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/matching/rotated_iou.hpp"

namespace bevfusion {

/// Which of the boxes, surest first, stay when each is dropped that is the same object as one before it that stays (non-maximum
/// suppression), and how many at most.
/// @param same  same(kept, box) says whether two boxes are of one object
template <class Same>
std::vector<std::size_t> keep_surest(const std::vector<Box3D>& boxes, std::size_t most, const Same& same) {
  std::vector<std::size_t> kept;
  for (std::size_t i = 0; i < boxes.size() && kept.size() < most; ++i) {
    if (std::none_of(kept.begin(), kept.end(), [&](std::size_t k) { return same(boxes[k], boxes[i]); })) {
      kept.push_back(i);
    }
  }
  return kept;
}

/// CenterPoint's circle: boxes whose centres are no farther apart on the ground than so.
struct CentresWithin {
  double squared;  ///< of the distance, m^2

  bool operator()(const Box3D& a, const Box3D& b) const {
    return (a.center.head<2>() - b.center.head<2>()).squaredNorm() <= squared;
  }
};

/// Boxes whose footprints overlap by more than so.
struct FootprintsOverlap {
  double iou;  ///< intersection over union on the ground

  bool operator()(const Box3D& a, const Box3D& b) const {
    const double shared = footprint_intersection(a, b);
    return shared > iou * (a.length() * a.width() + b.length() * b.width() - shared);
  }
};

}  // namespace bevfusion
