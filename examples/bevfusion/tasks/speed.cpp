// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/speed.hpp"

#include <algorithm>
#include <cmath>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/nuscenes/can_bus.hpp"
#include "bevfusion/nuscenes/ego_motion.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/tasks/figure_text.hpp"
#include "bevfusion/tasks/number_task.hpp"
#include "bevfusion/tasks/packed.hpp"
#include "support/statistics.hpp"

namespace bevfusion {
namespace {

/// The mean absolute error.
class SpeedFigures : public TaskFigures {
 public:
  void add(const SamplePrediction& prediction) override {
    const auto* const said = prediction.of<NumberPrediction>("speed");
    if (said != nullptr && said->labelled) {
      errors_.push_back(said->said - said->known);
    }
  }
  std::optional<std::string> given() const override {
    std::string bytes;
    add_list(bytes, errors_);
    return bytes;
  }
  void take(const std::string& bytes) override {
    PackedReader reader(bytes);
    const std::vector<double> more = reader.list<double>();
    reader.expect_end();
    errors_.insert(errors_.end(), more.begin(), more.end());
  }
  std::vector<std::pair<std::string, double>> headline() const override {
    return {{"speed_error", example::mean(sizes_of_errors())}};
  }
  void add_details(nlohmann::ordered_json& out) const override {
    out["speed"] = {{"samples", errors_.size()}, {"too_fast", example::mean(errors_)}};
  }
  std::string text() const override {
    return "speed error " + figure_text(headline()[0].second) + " m/s, " + figure_text(example::mean(errors_)) +
           " m/s too fast in the mean, of " + std::to_string(errors_.size()) + " samples\n";
  }

 private:
  std::vector<double> sizes_of_errors() const {
    std::vector<double> sizes = errors_;
    std::transform(sizes.begin(), sizes.end(), sizes.begin(), [](double error) { return std::abs(error); });
    return sizes;
  }

  std::vector<double> errors_;
};

class SpeedTask : public NumberTask {
 public:
  SpeedTask() : NumberTask(speed_sheet()) {}

  /// m/s as the bus says it, or, where there is none, from the ego poses until now; scaled as the sample is.
  torch::Tensor labels(const LabelSource& source) const override {
    const KeyFrame frame = key_frame_of(source.tables, source.row, {1, {}});
    const auto bus = read_bus(source.tables.root, frame.scene, frame.timestamp);
    const auto speed = bus ? std::optional<double>(bus->speed) : speed_at(source.tables, source.row);
    if (!speed) {
      return {};
    }
    const Eigen::Matrix4d& augmentation = source.sample.lidar_augmentation;
    return torch::tensor(static_cast<float>(*speed * augmentation.col(2).head<3>().norm()));
  }
  torch::Tensor response(const std::any& said, const std::any& expert, const RunConfig&) const override {
    return (std::any_cast<const torch::Tensor&>(said) - std::any_cast<const torch::Tensor&>(expert).detach()).abs().mean();
  }
  std::unique_ptr<TaskFigures> figures(const Tables&, const RunConfig&) const override {
    return std::make_unique<SpeedFigures>();
  }
  void draw(SampleDrawing& drawing, const SamplePrediction& prediction, const PictureContext&) const override {
    if (const auto* const said = prediction.of<NumberPrediction>(name())) {
      drawing.caption += "Speed " + (said->labelled ? figure_text(said->known, 1) + " m/s, " : std::string()) + "predicted " +
                         figure_text(said->said, 1) + " m/s. ";
    }
  }

 protected:
  torch::Tensor loss(const torch::Tensor& said, const torch::Tensor& known, const RunConfig&) const override {
    return (said - known).abs().mean();
  }
  /// Inside in tens of m/s.
  torch::Tensor meant(const torch::Tensor& output) const override { return 10 * output; }
};

}  // namespace

void register_speed(Kinds& kinds) { kinds.tasks.add(std::make_shared<SpeedTask>()); }

}  // namespace bevfusion
