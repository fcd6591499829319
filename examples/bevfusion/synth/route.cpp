// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/synth/route.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace bevfusion {

void Route::to(const Eigen::Vector2d& place) {
  if (places_.empty()) {
    places_.push_back(place);
    return;
  }
  for (double left = (place - places_.back()).norm(); left >= step; left = (place - places_.back()).norm()) {
    places_.push_back(places_.back() + step / left * (place - places_.back()));
  }
}

GroundPose Route::at(double s) const {
  const auto last = static_cast<double>(places_.size() - 2);
  const double piece = std::clamp(std::floor(s / step), 0.0, last);
  const auto i = static_cast<std::size_t>(piece);
  const Eigen::Vector2d along = places_[i + 1] - places_[i];
  GroundPose pose;
  pose.position = places_[i] + (s / step - piece) * along;
  // Headings of the pieces before and after, in proportion, so that they do not jump.
  const auto heading = [this](std::size_t k) {
    const Eigen::Vector2d d = places_[k + 1] - places_[k];
    return std::atan2(d.y(), d.x());
  };
  const double inside = std::clamp(s / step - piece, 0.0, 1.0);
  const std::size_t beside = inside < 0.5 ? (i > 0 ? i - 1 : i) : std::min(i + 1, places_.size() - 2);
  const double turn = wrap_angle(heading(beside) - heading(i));
  pose.yaw = wrap_angle(heading(i) + std::abs(inside - 0.5) * turn);
  return pose;
}

double Route::curvature(double s) const { return wrap_angle(at(s + 1).yaw - at(s - 1).yaw) / 2; }

double Route::nearest(const Eigen::Vector2d& place, double from, double to) const {
  double best = from;
  double least = std::numeric_limits<double>::infinity();
  const auto last = static_cast<double>(places_.size() - 2);
  const auto first_piece = static_cast<std::size_t>(std::clamp(std::floor(from / step), 0.0, last));
  const auto last_piece = static_cast<std::size_t>(std::clamp(std::floor(to / step), 0.0, last));
  for (std::size_t i = first_piece; i <= last_piece; ++i) {
    const Eigen::Vector2d along = places_[i + 1] - places_[i];
    const double t = std::clamp((place - places_[i]).dot(along) / along.squaredNorm(), 0.0, 1.0);
    const double away = (place - places_[i] - t * along).squaredNorm();
    if (away < least) {
      least = away;
      best = step * (static_cast<double>(i) + t);
    }
  }
  return std::clamp(best, from, to);
}

}  // namespace bevfusion
