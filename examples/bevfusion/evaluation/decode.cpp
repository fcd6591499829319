// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/decode.hpp"

#include <algorithm>
#include <cmath>

#include <torch/torch.h>

#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"

namespace bevfusion {
namespace {

bool is_box(const Box3D& box) {
  const double volume = box.size.prod();
  return box.center.allFinite() && std::isfinite(box.yaw) && box.velocity.allFinite() && std::isfinite(volume) && volume > 0;
}

}  // namespace

std::vector<ScoredBox> scored_boxes(const Detections& detections, std::int64_t b, const BoxCoder& coder,
                                    const CentreLimits& limits) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor output = detections.query_class[b];  // [Q]
  const auto of_own_class = [&](const torch::Tensor& values) { return values.gather(0, output.unsqueeze(0)).squeeze(0); };
  const torch::Tensor score = of_own_class(detections.class_logits[b].to(torch::kFloat).sigmoid()) *
                              of_own_class(detections.query_score[b].to(torch::kFloat));
  const torch::Tensor scores = score.to(torch::kCPU, torch::kDouble).contiguous();
  const torch::Tensor outputs = output.to(torch::kCPU, torch::kLong).contiguous();
  const std::vector<Box3D> boxes = decode_boxes(detections, b, coder);
  std::vector<ScoredBox> scored;
  for (std::size_t q = 0; q < boxes.size(); ++q) {
    ScoredBox one{boxes[q], scores.data_ptr<double>()[q]};
    one.box.label = detections.label_of(outputs.data_ptr<std::int64_t>()[q]);
    if (is_box(one.box) && std::isfinite(one.score) && limits.contains(one.box)) {
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
