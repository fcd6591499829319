// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "bevfusion/driving/controls.hpp"
#include "bevfusion/tasks/waypoint_figures.hpp"

namespace bevfusion {

/// What is predicted of the way, and what is to be done now.
struct ControlPrediction {
  WaypointPrediction way;
  Controls controls;  ///< full brake where an output was no number
  std::optional<Controls> driven;
};

}  // namespace bevfusion
