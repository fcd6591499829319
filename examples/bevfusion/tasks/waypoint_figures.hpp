// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/driving/waypoints.hpp"
#include "bevfusion/tasks/task_figures.hpp"
#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// What is predicted of the car's way.
struct WaypointPrediction {
  Waypoints planned{};              ///< all 0, standing still, where an output was no number
  std::optional<Waypoints> driven;  ///< nothing where the scene does not tell
};

/// Way-points of a tensor [K, 2].
Waypoints waypoints_of(const torch::Tensor& places);

/// Open-loop measures of way-points, over the samples whose way is known: L2 distance at each time, and how often the car's body
/// would overlap a box or leave the drivable area, over samples and times at which that can be told. The same of the way that
/// was driven says what of it is not the network's (boxes are annotated by hand, areas drawn by cells).
class WaypointFigures : public TaskFigures {
 public:
  /// @param sheet  whose first figure is the mean L2, and under whose name the details stand
  /// @param tables, config  must outlive this
  WaypointFigures(TaskSheet sheet, const Tables& tables, const RunConfig& config)
      : sheet_(std::move(sheet)), tables_(tables), config_(config) {}

  void add(const SamplePrediction& prediction) override;
  /// The same for what a task says that has more than way-points.
  void add(const SamplePrediction& prediction, const WaypointPrediction& said);
  std::optional<std::string> given() const override;
  void take(const std::string& bytes) override;
  std::vector<std::pair<std::string, double>> headline() const override;
  void add_details(nlohmann::ordered_json& out) const override;
  std::string text() const override;
  std::string remark() const override;

 private:
  /// A column for each way-point of: L2; collision, off-road, of the plan and of the driven way (0, 1, or NaN where unknown).
  enum Measure : std::size_t { distance, collision, off, driven_collision, driven_off, measures };
  using Row = std::array<double, measures * waypoint_count>;

  /// Over the samples and way-points at which it is known.
  double mean(Measure of, std::size_t first = 0, std::size_t count = waypoint_count) const;

  TaskSheet sheet_;
  const Tables& tables_;
  const RunConfig& config_;
  std::vector<Row> rows_;
  std::size_t unlabelled_ = 0;
};

}  // namespace bevfusion
