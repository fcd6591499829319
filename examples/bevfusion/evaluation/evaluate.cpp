// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/evaluate.hpp"

#include <cstdint>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/evaluation/figures_json.hpp"
#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/metrics/detection_evaluation.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"

namespace bevfusion {
namespace {

const std::vector<float> below_the_protocol = {0.20F, 0.25F, 0.30F};

/// The figures of one kind of masks, at the protocol's thresholds and below.
struct MaskFigures {
  explicit MaskFigures(std::size_t masks) : protocol(masks), below(masks, below_the_protocol) {}

  /// @param probability  [X, Y] float
  /// @param truth        [X, Y] uint8
  void add(std::size_t mask, const torch::Tensor& probability, const torch::Tensor& truth) {
    const torch::Tensor p = probability.contiguous();
    const torch::Tensor t = truth.contiguous();
    const auto cells = static_cast<std::size_t>(p.numel());
    protocol.add(mask, cells, p.data_ptr<float>(), t.data_ptr<std::uint8_t>());
    below.add(mask, cells, p.data_ptr<float>(), t.data_ptr<std::uint8_t>());
  }

  MapIou protocol;
  MapIou below;
};

EvaluationSample detection_sample(const Tables& tables, const SamplePrediction& prediction, const DetectionLabels& labels) {
  const KeyFrame frame = key_frame_of(tables, prediction.sample);
  EvaluationSample sample = evaluation_sample(tables, prediction.sample, labels);
  sample.predictions = submission_boxes(prediction.boxes, frame.ego_from_lidar, frame.global_from_ego, labels);
  return sample;
}

void add_map(MaskFigures& figures, const SamplePrediction& prediction) {
  const torch::Tensor truth = prediction.masks.to(torch::kByte);
  for (std::int64_t m = 0; m < truth.size(0); ++m) {
    if (prediction.labelled[m].item<bool>()) {
      figures.add(static_cast<std::size_t>(m), prediction.segmentation[m], truth[m]);
    }
  }
}

void add_foreground(MaskFigures& figures, const SamplePrediction& prediction) {
  const torch::Tensor truth = prediction.foreground_truth.to(torch::kByte);
  for (std::int64_t m = 0; m < truth.size(0); ++m) {
    figures.add(static_cast<std::size_t>(m), prediction.foreground[m], truth[m]);
  }
}

}  // namespace

EvaluationFigures evaluate(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
                           const EvaluationOptions& options) {
  const ModelConfig& model = network->config();
  const DetectionLabels& labels = config.loading.box_labels;
  EvaluationFigures figures;
  std::vector<EvaluationSample> detection;
  MaskFigures map(config.loading.map_labels.size());
  MaskFigures foreground(static_cast<std::size_t>(model.foreground_masks));
  predict(
      network, tables, samples, config, options.without,
      [&](const SamplePrediction& prediction) {
        ++figures.samples;
        figures.not_finite += prediction.finite ? 0 : 1;
        if (model.parts.detection) {
          detection.push_back(detection_sample(tables, prediction, labels));
        }
        if (model.parts.segmentation) {
          add_map(map, prediction);
        }
        if (model.parts.foreground) {
          add_foreground(foreground, prediction);
        }
        if (options.progress) {
          options.progress(1);
        }
      },
      options.missing);
  if (model.parts.detection) {
    DetectionConfig protocol;
    protocol.classes = evaluated_classes(labels);
    figures.detection = evaluate_detection(std::move(detection), protocol).summary;
  }
  if (model.parts.segmentation) {
    for (const MapLabel& label : config.loading.map_labels) {
      figures.map_names.push_back(label.name);
    }
    figures.segmentation = std::move(map.protocol);
    figures.segmentation_below = std::move(map.below);
  }
  if (model.parts.foreground) {
    figures.foreground_names = foreground_names(static_cast<std::size_t>(model.foreground_masks), labels);
    figures.foreground = std::move(foreground.protocol);
    figures.foreground_below = std::move(foreground.below);
  }
  return figures;
}

}  // namespace bevfusion
