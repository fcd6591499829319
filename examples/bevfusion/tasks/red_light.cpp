// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/red_light.hpp"

#include <array>
#include <cstdint>
#include <limits>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/distillation/responses.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/nuscenes/can_bus.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/tasks/figure_text.hpp"
#include "bevfusion/tasks/number_task.hpp"
#include "bevfusion/tasks/packed.hpp"

namespace bevfusion {
namespace {

/// How often red is told from not red, at a probability of a half.
class RedLightFigures : public TaskFigures {
 public:
  void add(const SamplePrediction& prediction) override {
    const auto* const said = prediction.of<NumberPrediction>("red_light");
    if (said != nullptr && said->labelled) {
      ++counts_[(said->known > 0.5 ? 2 : 0) + (said->said > 0 ? 1 : 0)];
    }
  }
  std::optional<std::string> given() const override {
    std::string bytes;
    add_list(bytes, counts_);
    return bytes;
  }
  void take(const std::string& bytes) override {
    PackedReader reader(bytes);
    const std::vector<std::uint64_t> more = reader.list<std::uint64_t>();
    reader.expect_end();
    for (std::size_t i = 0; i < counts_.size(); ++i) {
      counts_[i] += more.at(i);
    }
  }
  std::vector<std::pair<std::string, double>> headline() const override {
    return {{"red_light_accuracy", 0.5 * (found() + left_alone())}};
  }
  void add_details(nlohmann::ordered_json& out) const override {
    out["red_light"] = {{"found", found()},
                        {"left_alone", left_alone()},
                        {"red_share", share(counts_[2] + counts_[3], counts_[0] + counts_[1])},
                        {"samples", counts_[0] + counts_[1] + counts_[2] + counts_[3]}};
  }
  std::string text() const override {
    return "red light " + figure_text(headline()[0].second) + ": found " + figure_text(found()) + " of " +
           std::to_string(counts_[2] + counts_[3]) + ", left alone " + figure_text(left_alone()) + " of " +
           std::to_string(counts_[0] + counts_[1]) + " samples\n";
  }

 private:
  static double share(std::uint64_t of, std::uint64_t others) {
    return of + others == 0 ? std::numeric_limits<double>::quiet_NaN()
                            : static_cast<double>(of) / static_cast<double>(of + others);
  }
  double found() const { return share(counts_[3], counts_[2]); }
  double left_alone() const { return share(counts_[0], counts_[1]); }

  std::vector<std::uint64_t> counts_ = {0, 0, 0, 0};  ///< not red and not said, not red and said, red and not said, red and said
};

class RedLightTask : public NumberTask {
 public:
  RedLightTask() : NumberTask(red_light_sheet()) {}

  /// Metres to a red light; infinite where the light ahead is not red or there is none.
  torch::Tensor labels(const LabelSource& source) const override {
    const KeyFrame frame = key_frame_of(source.tables, source.row, {1, {}});
    const auto light = read_light_ahead(source.tables.root, frame.scene, frame.timestamp);
    if (!light) {
      return {};
    }
    return torch::tensor(light->state == "red" ? static_cast<float>(light->distance) : std::numeric_limits<float>::infinity());
  }
  /// The divergence of the probabilities, as of masks.
  torch::Tensor response(const std::any& said, const std::any& expert, const RunConfig&) const override {
    return mask_response(std::any_cast<const torch::Tensor&>(said), std::any_cast<const torch::Tensor&>(expert));
  }
  std::unique_ptr<TaskFigures> figures(const Tables&, const RunConfig&) const override {
    return std::make_unique<RedLightFigures>();
  }
  void draw(SampleDrawing& drawing, const SamplePrediction& prediction, const PictureContext&) const override {
    if (const auto* const said = prediction.of<NumberPrediction>(name())) {
      const auto word = [](bool red) { return std::string(red ? "red" : "not red"); };
      drawing.caption += "Light ahead " + (said->labelled ? word(said->known > 0.5) + ", " : std::string()) + "predicted " +
                         word(said->said > 0) + ". ";
    }
  }

 protected:
  /// Cross entropy. (The repository has L1 on the probability, whose gradient vanishes where a light is surely missed.)
  torch::Tensor loss(const torch::Tensor& said, const torch::Tensor& known, const RunConfig&) const override {
    return torch::binary_cross_entropy_with_logits(said, known);
  }
  torch::Tensor known(const torch::Tensor& label, const RunConfig& config) const override {
    return label.le(config.model.parts.tasks.number(name(), "reach")).to(torch::kFloat);
  }
};

}  // namespace

void register_red_light(Kinds& kinds) { kinds.tasks.add(std::make_shared<RedLightTask>()); }

}  // namespace bevfusion
