// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/controls.hpp"

#include <array>
#include <cmath>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/heads/control_head.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/nuscenes/can_bus.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/tasks/control_losses.hpp"
#include "bevfusion/tasks/control_prediction.hpp"
#include "bevfusion/tasks/figure_text.hpp"
#include "bevfusion/tasks/packed.hpp"
#include "bevfusion/tasks/waypoint_task.hpp"
#include "support/statistics.hpp"

namespace bevfusion {
namespace {

constexpr std::array<const char*, 3> pedal_names = {"steer", "throttle", "brake"};

std::array<double, 3> numbers_of(const Controls& controls) { return {controls.steer, controls.throttle, controls.brake}; }

Controls controls_of(const torch::Tensor& three) {
  const torch::Tensor here = three.to(torch::kCPU, torch::kDouble).contiguous();
  const double* const at = here.data_ptr<double>();
  return {at[0], at[1], at[2]};
}

/// Mean absolute errors of what is to be done now, and the measures of the way-points.
class ControlFigures : public TaskFigures {
 public:
  ControlFigures(const TaskSheet& sheet, const Tables& tables, const RunConfig& config)
      : way_(way_sheet(sheet), tables, config) {}

  void add(const SamplePrediction& prediction) override {
    const auto* const said = prediction.of<ControlPrediction>("controls");
    if (said == nullptr) {
      return;
    }
    way_.add(prediction, said->way);
    if (said->driven) {
      const auto now = numbers_of(said->controls);
      const auto driven = numbers_of(*said->driven);
      errors_.push_back({std::abs(now[0] - driven[0]), std::abs(now[1] - driven[1]), std::abs(now[2] - driven[2])});
    }
  }
  std::optional<std::string> given() const override {
    std::string bytes;
    add_list(bytes, errors_);
    const std::string of_way = way_.given().value();
    add_list(bytes, std::vector<char>(of_way.begin(), of_way.end()));
    return bytes;
  }
  void take(const std::string& bytes) override {
    PackedReader reader(bytes);
    const auto more = reader.list<std::array<double, 3>>();
    const std::vector<char> of_way = reader.list<char>();
    reader.expect_end();
    errors_.insert(errors_.end(), more.begin(), more.end());
    way_.take({of_way.begin(), of_way.end()});
  }
  std::vector<std::pair<std::string, double>> headline() const override {
    return {{"control_error", (mean(0) + mean(1) + mean(2)) / 3}};
  }
  void add_details(nlohmann::ordered_json& out) const override {
    nlohmann::ordered_json of_way;
    way_.add_details(of_way);
    out["controls"] = {{"errors", {{"steer", mean(0)}, {"throttle", mean(1)}, {"brake", mean(2)}}},
                       {"samples", errors_.size()},
                       {"waypoints", of_way.front()}};
  }
  std::string text() const override {
    std::string text =
        "control error " + figure_text(headline()[0].second) + " of " + std::to_string(errors_.size()) + " samples:";
    for (std::size_t i = 0; i < pedal_names.size(); ++i) {
      text += std::string(" ") + pedal_names[i] + " " + figure_text(mean(i));
    }
    return text + "\n" + way_.text();
  }

 private:
  static TaskSheet way_sheet(TaskSheet sheet) {
    sheet.figures = {{"waypoint_L2", "way-point L2, m", true}};
    return sheet;
  }
  double mean(std::size_t of) const {
    std::vector<double> values;
    for (const auto& errors : errors_) {
      values.push_back(errors[of]);
    }
    return example::mean(values);
  }

  WaypointFigures way_;
  std::vector<std::array<double, 3>> errors_;
};

class ControlsTask : public WaypointTask {
 public:
  ControlsTask() : WaypointTask(controls_sheet()) {}

  std::shared_ptr<torch::nn::Module> make_head(const ModelConfig& config, const Kinds&, std::int64_t channels) const override {
    return std::make_shared<ControlHeadImpl>(head_options(config, channels));
  }
  std::any forward_measured(torch::nn::Module& head, const torch::Tensor& shared, const torch::Tensor& measured,
                            const ModelConfig&, const LabelSets&) const override {
    return head_as<ControlHeadImpl>(head).forward(shared, measured);
  }
  /// [K + K + 1, 3]: way-points with a 0 beside each, then controls; none where one of them is not known.
  torch::Tensor labels(const LabelSource& source) const override {
    const torch::Tensor way = WaypointTask::labels(source);
    const KeyFrame frame = key_frame_of(source.tables, source.row, {1, {}});
    if (!way.defined()) {
      return {};
    }
    // A mirrored car steers to the other side.
    const double side = source.sample.lidar_augmentation.topLeftCorner<2, 2>().determinant() < 0 ? -1 : 1;
    std::vector<torch::Tensor> rows{torch::cat({way, torch::zeros({static_cast<std::int64_t>(waypoint_count), 1})}, 1)};
    for (std::size_t k = 0; k <= waypoint_count; ++k) {
      const double ahead = k == 0 ? 0 : waypoint_times[k - 1];
      const auto bus = read_bus(source.tables.root, frame.scene, frame.timestamp + std::llround(1e6 * ahead));
      if (!bus) {
        return {};
      }
      const Controls& now = bus->controls;
      rows.push_back(torch::tensor(
          {{static_cast<float>(side * now.steer), static_cast<float>(now.throttle), static_cast<float>(now.brake)}}));
    }
    return torch::cat(rows);
  }
  std::vector<torch::Tensor> losses(torch::nn::Module&, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig&) const override {
    const std::vector<torch::Tensor> parts = control_losses(std::any_cast<const ControlChain&>(said), batch);
    return {parts[0].defined() ? parts[0] + parts[1] + parts[2] + parts[3] : torch::Tensor()};
  }
  torch::Tensor response(const std::any& said, const std::any& expert, const RunConfig&) const override {
    const auto& one = std::any_cast<const ControlChain&>(said);
    const auto& other = std::any_cast<const ControlChain&>(expert);
    return (one.way.waypoints - other.way.waypoints.detach()).abs().mean() +
           (one.controls - other.controls.detach()).abs().flatten(0, 1).mean(0).sum();
  }
  torch::Tensor state(const std::any& said) const override { return std::any_cast<const ControlChain&>(said).state; }
  std::vector<torch::Tensor*> tensors_of(std::any& said) const override {
    auto& all = std::any_cast<ControlChain&>(said);
    return {&all.way.waypoints, &all.way.state, &all.way.pooled, &all.state, &all.controls};
  }
  std::any prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig&, bool& finite) const override {
    const auto& all = std::any_cast<const ControlChain&>(said);
    Batch ways;  // the way-points of the labels alone
    const auto found = batch.labels.find(name());
    const auto label = found == batch.labels.end() ? torch::Tensor() : found->second.at(static_cast<std::size_t>(b));
    constexpr auto count = static_cast<std::int64_t>(waypoint_count);
    ControlPrediction out;
    if (label.defined()) {
      ways.labels[name()].resize(static_cast<std::size_t>(b) + 1);
      ways.labels[name()].back() = label.narrow(0, 0, count).narrow(1, 0, 2);
      out.driven = controls_of(label[count]);
    }
    out.way = predicted(all.way.waypoints[b], b, ways, finite);
    const bool good = torch::isfinite(all.controls[b]).all().item<bool>();
    finite = finite && good;
    out.controls = good ? controls_of(all.controls[b][0]) : Controls{0, 0, 1};
    return out;
  }
  std::unique_ptr<TaskFigures> figures(const Tables& tables, const RunConfig& config) const override {
    return std::make_unique<ControlFigures>(sheet(), tables, config);
  }

 protected:
  const WaypointPrediction* planned(const SamplePrediction& prediction) const override {
    const auto* const said = prediction.of<ControlPrediction>(name());
    return said == nullptr ? nullptr : &said->way;
  }
};

}  // namespace

void register_controls(Kinds& kinds) { kinds.tasks.add(std::make_shared<ControlsTask>()); }

}  // namespace bevfusion
