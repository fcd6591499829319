// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <stdexcept>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/matching/bev_grid.hpp"

namespace bevfusion {

/// What a detection head regresses: x and y in cells from the grid's corner, z in m, ln width, ln length, ln height (m), sin yaw,
/// cos yaw, vx, vy (m/s).
using BoxCode = std::array<double, 10>;

/// A code to regress to, and how much each of its entries counts.
struct RegressionTarget {
  BoxCode code{};
  BoxCode weights{};
};

/// How much the entries of a code count in the loss; velocity counts less, as in BEVFusion.
struct CodeWeights {
  double centre = 1;   ///< x, y
  double height = 1;   ///< z
  double size = 1;     ///< the three of them
  double heading = 1;  ///< sine, cosine
  double velocity = 0.2;

  BoxCode entries() const { return {centre, centre, height, size, size, size, heading, heading, velocity, velocity}; }
};

/// Between boxes and what a head regresses (TransFusion's box coder).
struct BoxCoder {
  BevGrid grid;
  BoxCode weights = CodeWeights().entries();  ///< of the loss

  /// Code of an annotation. A velocity that is not known has code 0 and weight 0, so it enters no loss. Throws
  /// std::invalid_argument unless all sizes are > 0.
  RegressionTarget encode(const Box3D& box) const {
    if (!(box.width() > 0 && box.length() > 0 && box.height() > 0)) {
      throw std::invalid_argument("box coder: an annotated box must have sizes > 0");
    }
    RegressionTarget out;
    out.code = {grid.to_cells_x(box.center.x()),
                grid.to_cells_y(box.center.y()),
                box.center.z(),
                std::log(box.width()),
                std::log(box.length()),
                std::log(box.height()),
                std::sin(box.yaw),
                std::cos(box.yaw),
                box.velocity.x(),
                box.velocity.y()};
    out.weights = weights;
    for (std::size_t k = 8; k < 10; ++k) {
      if (std::isnan(out.code[k])) {
        out.code[k] = 0;
        out.weights[k] = 0;
      }
    }
    return out;
  }

  /// The box of a code; sine and cosine need not be of length 1, and yaw lies in [-pi, pi].
  Box3D decode(const BoxCode& code) const {
    Box3D box;
    box.center = {code[0] * grid.cell + grid.x_min, code[1] * grid.cell + grid.y_min, code[2]};
    box.size = {std::exp(code[3]), std::exp(code[4]), std::exp(code[5])};
    box.yaw = std::atan2(code[6], code[7]);
    box.velocity = {code[8], code[9]};
    return box;
  }
};

/// How far from the sensor the centres of predicted boxes may lie, m; BEVFusion drops those beyond.
struct CentreLimits {
  double x = 61.2;
  double y = 61.2;
  double z = 10;

  bool contains(const Box3D& box) const {
    return std::abs(box.center.x()) <= x && std::abs(box.center.y()) <= y && std::abs(box.center.z()) <= z;
  }
};

}  // namespace bevfusion
