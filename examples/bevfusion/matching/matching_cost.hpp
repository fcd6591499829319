// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <stdexcept>
#include <vector>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/matching/bev_grid.hpp"
#include "bevfusion/matching/rotated_iou.hpp"

namespace bevfusion {

/// Focal loss of calling a query with probability p a member of the class, less that of calling it none:
/// alpha (1 - p)^gamma (-ln(p + eps)) - (1 - alpha) p^gamma (-ln(1 - p + eps)). Falls with p.
inline double focal_cost(double p, double alpha = 0.25, double gamma = 2, double eps = 1e-12) {
  const double as_member = -std::log(p + eps) * alpha * std::pow(1 - p, gamma);
  const double as_background = -std::log(1 - p + eps) * (1 - alpha) * std::pow(p, gamma);
  return as_member - as_background;
}

/// Weights of the three parts of the cost of matching a query to an annotation; the defaults are TransFusion's, which BEVFusion
/// keeps.
struct MatchingWeights {
  double classification = 0.15;
  double centre = 0.25;
  double iou = 0.25;
};

/// Cost of every query (row) and annotation (column), row-major: w_c focal + w_b |centre difference|_1 - w_i IoU_3D, with centres
/// in the ground plane in parts of the grid's extent.
///
/// `probabilities` is row-major, queries x classes, in [0, 1]; `labels[n]` is the class of annotation n, numbered as the head
/// numbers them. Throws std::invalid_argument for sizes that do not fit or an unknown label. NaN in a query shows as NaN in its
/// row.
inline std::vector<double> matching_cost(const std::vector<Box3D>& queries, const std::vector<float>& probabilities,
                                         std::size_t classes, const std::vector<Box3D>& truth,
                                         const std::vector<std::size_t>& labels, const BevGrid& grid,
                                         const MatchingWeights& weights = {}) {
  if (probabilities.size() != queries.size() * classes || labels.size() != truth.size()) {
    throw std::invalid_argument("matching cost: needs a probability per query and class, and a label per annotation");
  }
  const double extent_x = grid.x_max() - grid.x_min;
  const double extent_y = grid.y_max() - grid.y_min;
  std::vector<double> cost;
  cost.reserve(queries.size() * truth.size());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    for (std::size_t n = 0; n < truth.size(); ++n) {
      if (labels[n] >= classes) {
        throw std::invalid_argument("matching cost: a label beyond the head's classes");
      }
      const double centre = std::abs(queries[q].center.x() - truth[n].center.x()) / extent_x +
                            std::abs(queries[q].center.y() - truth[n].center.y()) / extent_y;
      cost.push_back(weights.classification * focal_cost(static_cast<double>(probabilities[q * classes + labels[n]])) +
                     weights.centre * centre - weights.iou * iou_3d(queries[q], truth[n]));
    }
  }
  return cost;
}

}  // namespace bevfusion
