// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/driving/rollout.hpp"
#include "bevfusion/model/network.hpp"

namespace bevfusion {

/// A driver that sees what the network's sensors see, and does what its head says.
///
/// By `waypoints` it follows them (follow()); by `controls` it does as told.
/// @param network  in evaluation mode, on the run's device; shared with the driver
/// @param task     waypoints or controls
/// @throws std::invalid_argument for a task that the network has not, or that does not drive
Driver network_driver(Network network, const RunConfig& config, const std::string& task);

}  // namespace bevfusion
