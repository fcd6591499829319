// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/task_losses.hpp"

#include <algorithm>

#include <torch/torch.h>

#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/losses/foreground_target.hpp"
#include "bevfusion/losses/segmentation_loss.hpp"

namespace bevfusion {
namespace {

bool any_boxes_labelled(const TrainingBatch& batch) {
  return std::find(batch.boxes_labelled.begin(), batch.boxes_labelled.end(), true) != batch.boxes_labelled.end();
}

/// The outputs and annotations of the samples whose boxes are labels.
struct LabelledDetections {
  Detections outputs;
  std::vector<std::vector<Box3D>> boxes;
};

LabelledDetections labelled_detections(const Detections& all, const TrainingBatch& batch) {
  LabelledDetections kept{all, {}};
  std::vector<std::int64_t> rows;
  for (std::size_t b = 0; b < batch.boxes_labelled.size(); ++b) {
    if (batch.boxes_labelled[b]) {
      rows.push_back(static_cast<std::int64_t>(b));
      kept.boxes.push_back(batch.batch.boxes[b]);
    }
  }
  if (rows.size() < batch.boxes_labelled.size()) {
    const torch::Tensor index = torch::tensor(rows, torch::kLong).to(all.heat_map.device());
    Detections& out = kept.outputs;
    for (torch::Tensor* field : {&out.heat_map, &out.class_logits, &out.centre, &out.height, &out.size, &out.heading,
                                 &out.velocity, &out.query_class, &out.query_score}) {
      *field = field->index_select(0, index);
    }
  }
  return kept;
}

torch::Tensor foreground_loss(const torch::Tensor& logits, const TrainingBatch& batch, const RunConfig& config) {
  const std::int64_t masks = config.model.foreground_masks;
  const torch::Tensor target =
      foreground_target(batch.batch.boxes, masks, config.model.segmentation.mask, config.loading.box_labels);
  torch::Tensor labelled = torch::zeros({target.size(0), masks}, torch::kBool);
  for (std::size_t b = 0; b < batch.boxes_labelled.size(); ++b) {
    labelled[static_cast<std::int64_t>(b)].fill_(static_cast<bool>(batch.boxes_labelled[b]));
  }
  return segmentation_loss(logits, target.to(logits.device()), labelled, config.losses.segmentation_focal,
                           config.losses.mask_reduction);
}

}  // namespace

Outputs labelled_outputs(BevFusion& tower, const std::vector<torch::Tensor>& shared, const TrainingBatch& batch) {
  const ModelParts& parts = tower->config().parts;
  std::size_t next = 0;
  const auto of_head = [&]() -> const torch::Tensor& { return shared.size() == 1 ? shared.front() : shared.at(next++); };
  const bool boxes = any_boxes_labelled(batch);
  Outputs outputs;
  if (parts.detection) {
    const torch::Tensor& z = of_head();
    if (boxes) {
      outputs.detections = tower->detect(z);
    }
  }
  if (parts.segmentation) {
    const torch::Tensor& z = of_head();
    if (batch.batch.labelled.any().item<bool>()) {
      outputs.segmentation = tower->segment(z);
    }
  }
  if (parts.foreground) {
    const torch::Tensor& z = of_head();
    if (boxes) {
      outputs.foreground = tower->segment_foreground(z);
    }
  }
  return outputs;
}

std::vector<torch::Tensor> task_losses(const BevFusion& tower, const Outputs& outputs, const TrainingBatch& batch,
                                       const RunConfig& config) {
  const ModelParts& parts = tower->config().parts;
  std::vector<torch::Tensor> losses;
  if (parts.detection) {
    const bool split = config.losses.tasks == "split_detection";
    if (!outputs.detections) {
      losses.resize(split ? 3 : 1);
    } else {
      const LabelledDetections labelled = labelled_detections(*outputs.detections, batch);
      const DetectionLosses found = tower->detection_loss(labelled.outputs, labelled.boxes, config.losses.detection);
      if (split) {
        losses = {found.box, found.classification + found.heat_map, found.velocity};
      } else {
        losses = {found.total};
      }
    }
  }
  if (parts.segmentation) {
    losses.push_back(!outputs.segmentation.defined()
                         ? torch::Tensor()
                         : segmentation_loss(outputs.segmentation, batch.batch.masks.to(outputs.segmentation.device()),
                                             batch.batch.labelled, config.losses.segmentation_focal,
                                             config.losses.mask_reduction));
  }
  if (parts.foreground) {
    losses.push_back(!outputs.foreground.defined() ? torch::Tensor() : foreground_loss(outputs.foreground, batch, config));
  }
  return losses;
}

}  // namespace bevfusion
