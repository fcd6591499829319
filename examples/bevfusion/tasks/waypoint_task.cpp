// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/waypoint_task.hpp"

#include <cmath>
#include <cstddef>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/driving/car_state.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/picture_colours.hpp"

namespace bevfusion {
namespace {

Eigen::Matrix2d linear_of(const TrainingSample& sample) { return sample.lidar_augmentation.topLeftCorner<2, 2>(); }

/// A way on the ground below the car, in the frame of the LiDAR.
std::vector<Eigen::Vector3d> on_ground(const Waypoints& way, const KeyFrame& frame) {
  const RigidTransform lidar_from_ego = frame.ego_from_lidar.inverse();
  std::vector<Eigen::Vector3d> places{lidar_from_ego.translation};
  for (const Eigen::Vector2d& place : way) {
    Eigen::Vector3d in_ego = frame.ego_from_lidar.rotation * Eigen::Vector3d(place.x(), place.y(), 0);
    in_ego.z() = 0;
    places.push_back(lidar_from_ego * in_ego);
  }
  return places;
}

}  // namespace

void WaypointTask::check(const RunConfig& config, const Kinds&) const {
  const double hidden = config.model.parts.tasks.number(name(), "hidden");
  const double squares = config.model.parts.tasks.number(name(), "squares");
  require(std::fmod(hidden, 4) == 0, "tasks.", name(), ".hidden is ", hidden, "; a multiple of 4 is needed");
  require(std::floor(squares) == squares, "tasks.", name(), ".squares is ", squares, "; a whole number is needed");
}

WaypointHeadOptions WaypointTask::head_options(const ModelConfig& config, std::int64_t channels) const {
  WaypointHeadOptions options;
  options.inputs = channels;
  options.hidden = static_cast<std::int64_t>(config.parts.tasks.number(name(), "hidden"));
  options.squares = static_cast<std::int64_t>(config.parts.tasks.number(name(), "squares"));
  options.measured = CarState::count;
  options.waypoints = waypoint_count;
  return options;
}

torch::Tensor WaypointTask::measured(const LabelSource& source) const {
  const auto numbers = car_state_at(source.tables, source.row).numbers(linear_of(source.sample));
  return torch::tensor(std::vector<float>(numbers.begin(), numbers.end()));
}

torch::Tensor WaypointTask::labels(const LabelSource& source) const {
  const auto way = driven_waypoints(source.tables, source.row);
  if (!way) {
    return {};
  }
  torch::Tensor out = torch::empty({static_cast<std::int64_t>(waypoint_count), 2});
  for (std::size_t k = 0; k < waypoint_count; ++k) {
    const Eigen::Vector2d place = linear_of(source.sample) * (*way)[k];
    out[static_cast<std::int64_t>(k)][0] = place.x();
    out[static_cast<std::int64_t>(k)][1] = place.y();
  }
  return out;
}

torch::Tensor WaypointTask::distance_of_labelled(const torch::Tensor& waypoints, const TrainingBatch& batch) const {
  const auto found = batch.batch.labels.find(name());
  std::vector<torch::Tensor> said;
  std::vector<torch::Tensor> driven;
  for (std::size_t b = 0; found != batch.batch.labels.end() && b < found->second.size(); ++b) {
    if (found->second[b].defined()) {
      said.push_back(waypoints[static_cast<std::int64_t>(b)]);
      driven.push_back(found->second[b]);
    }
  }
  return said.empty() ? torch::Tensor() : (torch::stack(said) - torch::stack(driven).to(waypoints.device())).abs().mean();
}

WaypointPrediction WaypointTask::predicted(const torch::Tensor& waypoints, std::int64_t b, const Batch& batch,
                                           bool& finite) const {
  WaypointPrediction out;
  const bool good = torch::isfinite(waypoints).all().item<bool>();
  finite = finite && good;
  out.planned.fill(Eigen::Vector2d::Zero());
  if (good) {
    out.planned = waypoints_of(waypoints);
  }
  const auto found = batch.labels.find(name());
  if (found != batch.labels.end() && found->second.at(static_cast<std::size_t>(b)).defined()) {
    out.driven = waypoints_of(found->second[static_cast<std::size_t>(b)]);
  }
  return out;
}

const WaypointPrediction* WaypointTask::planned(const SamplePrediction& prediction) const {
  return prediction.of<WaypointPrediction>(name());
}

void WaypointTask::add_legend(PictureLegend& legend, const PictureContext&) const {
  legend.swatches += swatch(driven_colour, "way driven") + swatch(planned_colour, "way predicted");
  legend.say("A way leads from the car's rear axle to where it is in 0.5, 1 and 1.5 seconds.");
}

void WaypointTask::draw(SampleDrawing& drawing, const SamplePrediction& prediction, const PictureContext& context) const {
  const WaypointPrediction* const said = planned(prediction);
  if (said == nullptr) {
    return;
  }
  const KeyFrame frame = key_frame_of(context.tables, prediction.sample, {1, {}});
  if (said->driven) {
    drawing.driven.push_back({on_ground(*said->driven, frame), driven_colour, 3});
  }
  drawing.planned.push_back({on_ground(said->planned, frame), planned_colour, 2});
}

}  // namespace bevfusion
