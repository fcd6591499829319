// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/driving/car_state.hpp"

#include <Eigen/LU>
#include <cmath>

#include "bevfusion/nuscenes/can_bus.hpp"
#include "bevfusion/nuscenes/ego_motion.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"

namespace bevfusion {

std::array<float, CarState::count> CarState::numbers(const Eigen::Matrix2d& linear) const {
  const double scale = std::sqrt(std::abs(linear.determinant()));
  const Eigen::Vector2d turned = linear * front / scale;
  const Eigen::Vector2d to_route = route ? Eigen::Vector2d(0.1 * (linear * *route)) : Eigen::Vector2d(0, 0);
  const double fast = speed ? 0.1 * scale * *speed : 0;
  std::array<float, count> out{};
  std::size_t i = 0;
  for (const double number : {turned.x(), turned.y(), fast, speed ? 1.0 : 0.0, to_route.x(), to_route.y(), route ? 1.0 : 0.0}) {
    out[i++] = static_cast<float>(number);
  }
  return out;
}

CarState car_state_at(const Tables& tables, RowIndex sample) {
  const KeyFrame frame = key_frame_of(tables, sample, {1, {}});
  const Eigen::Matrix3d lidar_from_ego = frame.ego_from_lidar.rotation.transpose();
  CarState state;
  state.front = lidar_from_ego.col(0).head<2>().normalized();
  state.speed = speed_at(tables, sample);
  const Eigen::Vector2d here = frame.global_from_ego.translation.head<2>();
  if (const auto place = place_along(read_route(tables.root, frame.scene), here, route_ahead)) {
    const Eigen::Vector3d way(place->x() - here.x(), place->y() - here.y(), 0);
    state.route = (lidar_from_ego * (frame.global_from_ego.rotation.transpose() * way)).head<2>();
  }
  return state;
}

}  // namespace bevfusion
