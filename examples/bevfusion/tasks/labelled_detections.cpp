// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/labelled_detections.hpp"

#include <cstdint>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/heads/detection_head.hpp"
#include "bevfusion/tasks/task.hpp"

namespace bevfusion {

DetectionLosses labelled_detection_losses(torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                                          const RunConfig& config) {
  Detections out = std::any_cast<const Detections&>(said);
  std::vector<std::vector<Box3D>> boxes;
  std::vector<std::int64_t> rows;
  for (std::size_t b = 0; b < batch.boxes_labelled.size(); ++b) {
    if (batch.boxes_labelled[b]) {
      rows.push_back(static_cast<std::int64_t>(b));
      boxes.push_back(batch.batch.boxes[b]);
    }
  }
  if (rows.size() < batch.boxes_labelled.size()) {
    const torch::Tensor index = torch::tensor(rows, torch::kLong).to(out.heat_map.device());
    for (torch::Tensor* field : {&out.heat_map, &out.class_logits, &out.centre, &out.height, &out.size, &out.heading,
                                 &out.velocity, &out.query_class, &out.query_score}) {
      *field = field->index_select(0, index);
    }
  }
  return head_as<DetectionHead>(head).loss(out, boxes, BoxCoder{config.model.bev_grid()}, config.losses.detection);
}

}  // namespace bevfusion
