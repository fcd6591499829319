// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/pictures/ground_weights.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include <Eigen/LU>

#include "bevfusion/pictures/picture_colours.hpp"

namespace bevfusion {

std::optional<std::size_t> GroundWeights::window(double x, double y) const {
  const double cells = static_cast<double>(side) / (2 * reach);
  const double i = std::floor((x + reach) * cells);
  const double j = std::floor((y + reach) * cells);
  const auto last = static_cast<double>(side);
  if (!(i >= 0 && j >= 0 && i < last && j < last)) {
    return std::nullopt;
  }
  return static_cast<std::size_t>(i) * side + static_cast<std::size_t>(j);
}

std::vector<double> GroundWeights::strengths() const {
  constexpr double rounding = 1e-5;  // of sums in single precision, relative
  const double mean = std::accumulate(weights.begin(), weights.end(), 0.0) / static_cast<double>(weights.size());
  const double most = *std::max_element(weights.begin(), weights.end()) - mean;
  std::vector<double> out(weights.size(), 0.0);
  if (most > rounding * mean) {
    std::transform(weights.begin(), weights.end(), out.begin(),
                   [mean, most](double weight) { return std::max(weight - mean, 0.0) / most; });
  }
  return out;
}

DrawnPath GroundWeights::border(std::size_t window, double z, Colour colour) const {
  const double length = 2 * reach / static_cast<double>(side);
  const double x = -reach + length * static_cast<double>(window / side);
  const double y = -reach + length * static_cast<double>(window % side);
  return {{{x, y, z}, {x + length, y, z}, {x + length, y + length, z}, {x, y + length, z}, {x, y, z}}, colour, 1};
}

void draw_weights(Image& image, const CameraView& view, const GroundWeights& weights, const RigidTransform& ego_from_lidar) {
  const RigidTransform lidar_from_camera = view.camera_from_lidar.inverse();
  const RigidTransform ego_from_camera = ego_from_lidar * lidar_from_camera;
  const Eigen::Matrix3d ray_of_pixel = view.intrinsic.inverse();
  const std::vector<double> strengths = weights.strengths();
  for (int v = 0; v < image.height; ++v) {
    for (int u = 0; u < image.width; ++u) {
      const Eigen::Vector3d ray = ray_of_pixel * Eigen::Vector3d(u + 0.5, v + 0.5, 1);
      const double down = -(ego_from_camera.rotation * ray).z();
      const double depth = ego_from_camera.translation.z() / down;
      if (!(down > 0 && depth > 0 && depth < 1e4)) {
        continue;
      }
      const Eigen::Vector3d place = lidar_from_camera * (depth * ray);
      const auto window = weights.window(place.x(), place.y());
      if (window && strengths[*window] > 0) {
        const std::uint8_t* const under = image.pixel(u, v);
        image.set(u, v, mixed({under[0], under[1], under[2]}, attention_colour, 0.8 * strengths[*window]));
      }
    }
  }
}

}  // namespace bevfusion
