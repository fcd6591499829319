// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "bevfusion/driving/controls.hpp"

namespace bevfusion {

// Files of nuScenes' CAN bus expansion, ROOT/can_bus/SCENE_MESSAGE.json, which not every data set or scene has. What is not there
// is nothing; what is there and is damaged throws DataError with file and row.

/// The route that a scene's driver was to follow, from before its beginning to after its end (SCENE_route.json): global x and y,
/// m. Empty where there is none.
std::vector<Eigen::Vector2d> read_route(const std::filesystem::path& root, const std::string& scene);

/// The place `ahead` metres further along a route than the point of it that is nearest to `from`. Nothing where the route is
/// empty, ends before that, or is nowhere within `farthest` metres of `from`: nuScenes' devkit lists scenes that left their
/// route.
std::optional<Eigen::Vector2d> place_along(const std::vector<Eigen::Vector2d>& route, const Eigen::Vector2d& from, double ahead,
                                           double farthest = 5);

/// What the car's own bus says at a time (SCENE_vehicle_monitor.json).
struct BusMessage {
  double speed = 0;  ///< m/s
  Controls controls;
};

/// The bus at a time (us), in proportion between two messages at most `longest` seconds apart. Nothing where there is no such
/// file, or the time lies beyond its messages.
std::optional<BusMessage> read_bus(const std::filesystem::path& root, const std::string& scene, std::int64_t timestamp,
                                   double longest = 1);

/// The traffic light that the car comes to next.
struct LightAhead {
  std::string state;    ///< red, yellow, green, or none where there is none ahead
  double distance = 0;  ///< m that the car may go before it stands at the line
};

/// What traffic_lights/SCENE.json says at a key frame (us, to 1 ms). nuScenes has no such file; synthetic scenes made with
/// --driving have. Nothing where there is none.
std::optional<LightAhead> read_light_ahead(const std::filesystem::path& root, const std::string& scene, std::int64_t timestamp);

}  // namespace bevfusion
