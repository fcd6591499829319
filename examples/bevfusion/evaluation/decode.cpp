// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/decode.hpp"

#include <algorithm>
#include <cmath>

#include <torch/torch.h>

#include "bevfusion/geometry/possible_box.hpp"
#include "bevfusion/losses/detection_codes.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"

namespace bevfusion {

std::vector<ScoredBox> scored_boxes(const Detections& detections, std::int64_t b, const BoxCoder& coder,
                                    const CentreLimits& limits) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor output = detections.query_class[b];  // [Q]
  const auto of_own_class = [&](const torch::Tensor& values) { return values.gather(0, output.unsqueeze(0)).squeeze(0); };
  const torch::Tensor score = of_own_class(detections.class_logits[b].to(torch::kFloat).sigmoid()) *
                              of_own_class(detections.query_score[b].to(torch::kFloat));
  const torch::Tensor said = (score >= 0).nonzero().squeeze(1);
  const torch::Tensor scores = score.index_select(0, said).to(torch::kCPU, torch::kDouble).contiguous();
  const torch::Tensor outputs = output.index_select(0, said).to(torch::kCPU, torch::kLong).contiguous();
  const std::vector<Box3D> boxes = boxes_of_codes(codes_of(detections)[b].index_select(1, said), coder);
  std::vector<ScoredBox> scored;
  for (std::size_t q = 0; q < boxes.size(); ++q) {
    ScoredBox one{boxes[q], scores.data_ptr<double>()[q]};
    one.box.label = detections.label_of(outputs.data_ptr<std::int64_t>()[q]);
    if (std::isfinite(one.score) && is_possible(one.box) && limits.contains(one.box)) {
      scored.push_back(one);
    }
  }
  std::stable_sort(scored.begin(), scored.end(), [](const ScoredBox& a, const ScoredBox& c) { return a.score > c.score; });
  return scored;
}

std::vector<DetectionBox> submission_boxes(const std::vector<ScoredBox>& boxes, const RigidTransform& ego_from_lidar,
                                           const RigidTransform& global_from_ego, const DetectionLabels& labels,
                                           std::size_t most) {
  const RigidTransform global_from_lidar = global_from_ego * ego_from_lidar;
  std::vector<DetectionBox> submitted;
  for (const ScoredBox& one : boxes) {
    if (submitted.size() == most) {
      break;
    }
    const Eigen::Vector3d from_ego = ego_from_lidar * one.box.center;
    if (from_ego.head<2>().norm() <= labels.at(index_of(one.box.label)).range) {
      submitted.push_back(submitted_box(one.box, one.score, global_from_lidar, labels));
    }
  }
  return submitted;
}

}  // namespace bevfusion
