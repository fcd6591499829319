// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <stdexcept>
#include <string_view>

#include "bevfusion/metrics/detection_box.hpp"
#include "bevfusion/metrics/evaluated_class.hpp"

namespace bevfusion {

/// The five errors of a true positive, in the order of nuScenes' tables.
enum class BoxError { translation, scale, orientation, velocity, attribute };

/// How many there are.
inline constexpr std::size_t box_error_count = 5;

/// One value an error, at `index_of(error)`.
template <class T>
using PerError = std::array<T, box_error_count>;

/// Position of an error in a `PerError`.
constexpr std::size_t index_of(BoxError error) { return static_cast<std::size_t>(error); }

/// Their names in nuScenes files.
inline constexpr PerError<std::string_view> box_error_names = {"trans_err", "scale_err", "orient_err", "vel_err", "attr_err"};
/// Their names in tables; the mean over classes has an m in front.
inline constexpr PerError<std::string_view> box_error_titles = {"ATE", "ASE", "AOE", "AVE", "AAE"};

/// Distance of the centres in the ground plane, m.
inline double centre_distance(const DetectionBox& a, const DetectionBox& b) {
  const double dx = a.translation[0] - b.translation[0];
  const double dy = a.translation[1] - b.translation[1];
  return std::sqrt(dx * dx + dy * dy);
}

/// Intersection over union of two sizes laid on the same centre and heading. Throws std::invalid_argument unless all are > 0.
inline double scale_iou(const std::array<double, 3>& a, const std::array<double, 3>& b) {
  double intersection = 1;
  double volume_a = 1;
  double volume_b = 1;
  for (std::size_t k = 0; k < 3; ++k) {
    if (!(a[k] > 0 && b[k] > 0)) {
      throw std::invalid_argument("scale error: the sizes of matched boxes must be > 0");
    }
    intersection *= std::min(a[k], b[k]);
    volume_a *= a[k];
    volume_b *= b[k];
  }
  return intersection / (volume_a + volume_b - intersection);
}

/// Smallest turn between two headings (rad) that repeat after `period`: rad in [0, period / 2].
inline double heading_difference(double a, double b, double period) {
  const double shifted = a - b + period / 2;
  return std::abs(shifted - period * std::floor(shifted / period) - period / 2);
}

/// The errors of a prediction against the annotation it matched: metres, 1 - IoU, rad, m/s, 0 or 1. Velocity is NaN where
/// either is unknown, attribute NaN where the annotation has none.
/// @param symmetric  whether front and back of the boxes' class are alike, as a barrier's
inline PerError<double> box_errors(const DetectionBox& truth, const DetectionBox& prediction, bool symmetric = false) {
  constexpr double half_turn = 3.14159265358979323846;
  const double period = symmetric ? half_turn : 2 * half_turn;
  const double dvx = truth.velocity[0] - prediction.velocity[0];
  const double dvy = truth.velocity[1] - prediction.velocity[1];
  return {centre_distance(truth, prediction), 1 - scale_iou(truth.size, prediction.size),
          heading_difference(heading_of(truth.rotation), heading_of(prediction.rotation), period),
          std::sqrt(dvx * dvx + dvy * dvy),
          truth.attribute == Attribute::none ? std::numeric_limits<double>::quiet_NaN()
                                             : static_cast<double>(truth.attribute != prediction.attribute)};
}

/// Whether a class has this error: in nuScenes a cone has no heading, and neither cones nor barriers move or have attributes.
inline bool has_error(const EvaluatedClass& of, BoxError error) {
  switch (error) {
    case BoxError::translation:
    case BoxError::scale:
      return true;
    case BoxError::orientation:
      return of.has_heading;
    case BoxError::velocity:
    case BoxError::attribute:
      return of.moves;
  }
  return true;
}

}  // namespace bevfusion
