// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/detection.hpp"

#include <algorithm>

#include <torch/torch.h>

#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/distillation/responses.hpp"
#include "bevfusion/evaluation/counted_boxes.hpp"
#include "bevfusion/evaluation/decode.hpp"
#include "bevfusion/heads/detection_head.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/labels.hpp"
#include "bevfusion/tasks/detection_figures.hpp"
#include "bevfusion/tasks/labelled_detections.hpp"
#include "bevfusion/tasks/shared_decoder.hpp"
#include "bevfusion/tasks/task.hpp"

namespace bevfusion {
namespace {

bool is_finite(const Detections& detections, std::int64_t b) {
  const auto all = {detections.class_logits, detections.centre,   detections.height,     detections.size,
                    detections.heading,      detections.velocity, detections.query_score};
  return std::all_of(all.begin(), all.end(),
                     [b](const torch::Tensor& values) { return torch::isfinite(values[b]).all().item<bool>(); });
}

class DetectionTask : public Task {
 public:
  DetectionTask() : Task(detection_sheet()) {}

  void check(const RunConfig& config, const Kinds& kinds) const override {
    check_shared_decoder(config, kinds);
    if (config.model.detection_head != "fuller_det" && config.model.detection_head != "unified") {
      return;
    }
    const FullerDetOptions& detection = config.model.detection;
    require(detection.channels % detection.heads == 0, "model.detection.heads: ", detection.channels,
            " channels cannot be shared by ", detection.heads, " heads");
    const double cells = 2 * config.model.bev_range / config.model.bev_cell;
    const auto classes = static_cast<double>(detection_labels(config.model, kinds.labels).size());
    require(static_cast<double>(detection.queries) <= classes * cells * cells, "model.detection.queries is ", detection.queries,
            "; there are not so many cells and classes");
  }

  std::shared_ptr<torch::nn::Module> make_head(const ModelConfig& config, const Kinds& kinds,
                                               std::int64_t channels) const override {
    return kinds.detection_heads.make(config.detection_head, config, channels, detection_outputs(config, kinds.labels));
  }

  std::any forward(torch::nn::Module& head, const torch::Tensor& shared, const ModelConfig& config,
                   const LabelSets& sets) const override {
    Detections said = head_as<DetectionHead>(head).forward(shared);
    said.labels = detection_labels(config, sets);
    return said;
  }

  std::string decoder(const ModelConfig& config, const Kinds& kinds, QueriesAsked& asked) const override {
    if (!kinds.decoders.has(config.detection_head)) {
      return {};
    }
    asked.objects = detection_outputs(config, kinds.labels);
    return config.detection_head;
  }

  std::any forward_queries(torch::nn::Module& head, const DecodedQueries& queries, const ModelConfig& config,
                           const LabelSets& sets) const override {
    Detections said = head_as<QueryDetectionHead>(head).forward_queries(queries);
    said.labels = detection_labels(config, sets);
    return said;
  }

  std::vector<torch::Tensor> losses(torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig& config) const override {
    return {labelled_detection_losses(head, said, batch, config).total};
  }

  torch::Tensor response(const std::any& said, const std::any& expert, const RunConfig& config) const override {
    return detection_response(std::any_cast<const Detections&>(said), std::any_cast<const Detections&>(expert),
                              BoxCoder{config.model.bev_grid()}, config.losses.detection, config.distillation.least_score);
  }

  std::vector<torch::Tensor*> tensors_of(std::any& said) const override {
    auto& all = std::any_cast<Detections&>(said);
    return {&all.heat_map, &all.class_logits, &all.centre,      &all.height,     &all.size,
            &all.heading,  &all.velocity,     &all.query_class, &all.query_score};
  }

  std::any prediction(const std::any& said, std::int64_t b, const Batch&, const RunConfig& config, bool& finite) const override {
    const auto& detections = std::any_cast<const Detections&>(said);
    finite = finite && is_finite(detections, b);
    return scored_boxes(detections, b, BoxCoder{config.model.bev_grid()}, config.model.centre_limits);
  }

  std::unique_ptr<TaskFigures> figures(const Tables& tables, const RunConfig& config) const override {
    return std::make_unique<DetectionFigures>(tables, config);
  }

  void add_legend(PictureLegend& legend, const PictureContext& context) const override {
    for (const DetectionLabel& label : context.config.loading.box_labels) {
      legend.swatches += swatch(label.colour, label.name);
    }
    legend.swatches += swatch(truth_colour, "annotated, from above") +
                       swatch(truth_colour_in_pictures, "annotated, in pictures") + swatch(uncounted_colour, "not evaluated");
    legend.say(
        "Boxes are in the colours of their classes, predictions with a score of " + two_decimals(context.least_score) +
        " or more; to the right and in the pictures annotations are outlined thinly beside them. Grey are boxes that nuScenes "
        "does not evaluate: out of their class's range, without a LiDAR or radar point, cycles in racks. A thin line from a "
        "box is where it goes in two seconds.");
  }

  void draw(SampleDrawing& drawing, const SamplePrediction& prediction, const PictureContext& context) const override {
    const DetectionLabels& labels = context.config.loading.box_labels;
    const CountedBoxes counts(context.tables, prediction.sample, labels);
    std::size_t found = 0;
    if (const auto* boxes = prediction.of<std::vector<ScoredBox>>(name())) {
      for (const ScoredBox& one : *boxes) {
        if (one.score < context.least_score) {
          continue;
        }
        const bool counted = counts(one.box, -1);
        const DetectionLabel& label = labels.at(index_of(one.box.label));
        found += counted ? 1 : 0;
        drawing.predicted_boxes.push_back({one.box, counted ? label.colour : uncounted_colour, counted ? 2.0 : 1.0,
                                           counted ? label.name + " " + two_decimals(one.score) : ""});
      }
    }
    std::reverse(drawing.predicted_boxes.begin(), drawing.predicted_boxes.end());  // the surest on top
    const std::size_t annotated = drawing.counted;
    drawing.caption +=
        std::to_string(annotated) + (annotated == 1 ? " box" : " boxes") + " annotated, " + std::to_string(found) + " predicted";
    if (drawing.annotated_boxes.size() > annotated || drawing.predicted_boxes.size() > found) {
      drawing.caption += "; " + std::to_string(drawing.annotated_boxes.size() - annotated) + " and " +
                         std::to_string(drawing.predicted_boxes.size() - found) + " more are not evaluated";
    }
    drawing.caption += ". ";
  }
};

}  // namespace

void register_detection(Kinds& kinds) { kinds.tasks.add(std::make_shared<DetectionTask>()); }

}  // namespace bevfusion
