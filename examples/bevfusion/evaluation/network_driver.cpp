// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/network_driver.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/driving/world_sample.hpp"
#include "bevfusion/model/autocast.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/on_device.hpp"
#include "bevfusion/synth/sensor_rig.hpp"
#include "bevfusion/tasks/control_prediction.hpp"

namespace bevfusion {
namespace {

/// Way-points along the car's own axes.
Waypoints in_ego(const Waypoints& along_lidar) {
  Waypoints out;
  const Eigen::Matrix3d ego_from_lidar = ego_from_sensor(Channel::lidar_top).rotation;
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    out[k] = (ego_from_lidar * Eigen::Vector3d(along_lidar[k].x(), along_lidar[k].y(), 0)).head<2>();
  }
  return out;
}

/// The cameras of the synthetic car that the network was trained on.
std::vector<Channel> cameras_of(const RunConfig& config) {
  std::vector<Channel> cameras;
  for (const std::string& name : names_in(config.data.cameras)) {
    const auto channel = channel_of(name);
    if (!channel || *channel == Channel::lidar_top) {
      throw std::invalid_argument("data.cameras names '" + name +
                                  "', and the synthetic car that the network would drive has nuScenes' six cameras alone");
    }
    cameras.push_back(*channel);
  }
  return cameras;
}

Controls asked(Network& network, const RunConfig& config, const std::string& task, const LoadingOptions& loading,
               const std::vector<Channel>& cameras, const World& world) {
  const torch::NoGradGuard no_grad;
  Batch batch = collate({sample_of(world, loading, cameras)});
  const auto told = car_state_of(world).numbers();
  batch.input.measured[task] = torch::tensor(std::vector<float>(told.begin(), told.end())).unsqueeze(0);
  const torch::Device device(config.training.device);
  Outputs outputs;
  {
    const Autocast precision(device, config.training.precision);
    outputs = network->forward(on_device(batch.input, device));
  }
  bool finite = true;
  for (const auto& one : network->tasks()) {
    if (one->name() != task) {
      continue;
    }
    const std::any said = one->prediction(outputs.at(task), 0, batch, config, finite);
    if (task == "controls") {
      return std::any_cast<const ControlPrediction&>(said).controls;
    }
    return follow(in_ego(std::any_cast<const WaypointPrediction&>(said).planned), world.speed());
  }
  throw std::logic_error("the network lost its task " + task);
}

}  // namespace

Driver network_driver(Network network, const RunConfig& config, const std::string& task) {
  const auto tasks = network->tasks();
  const bool there = std::any_of(tasks.begin(), tasks.end(), [&task](const auto& one) { return one->name() == task; });
  if (!there || (task != "waypoints" && task != "controls")) {
    std::string names;
    for (const auto& one : tasks) {
      names += (names.empty() ? "" : ", ") + one->name();
    }
    throw std::invalid_argument("the network cannot drive by '" + task + "': it takes a task waypoints or controls, and it has " +
                                names);
  }
  LoadingOptions loading = config.loading;
  loading.augment = false;
  return [network, config, task, loading, cameras = cameras_of(config)](const World& world) mutable {
    return asked(network, config, task, loading, cameras, world);
  };
}

}  // namespace bevfusion
