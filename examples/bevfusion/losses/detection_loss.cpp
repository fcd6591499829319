// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/losses/detection_loss.hpp"

#include <algorithm>
#include <cmath>

#include <torch/torch.h>

#include "bevfusion/losses/detection_codes.hpp"
#include "bevfusion/matching/assignment.hpp"

namespace bevfusion {

std::vector<Box3D> decode_boxes(const Detections& detections, std::int64_t b, const BoxCoder& coder) {
  const torch::NoGradGuard no_grad;
  return boxes_of_codes(codes_of(detections)[b], coder);
}

Matches match(const Detections& detections, std::int64_t b, const std::vector<Box3D>& truth, const BoxCoder& coder,
              const MatchingWeights& weights) {
  Matches matches;
  if (truth.empty()) {
    return matches;
  }
  const torch::NoGradGuard no_grad;
  const torch::Tensor probabilities = detections.class_logits[b].sigmoid().t().to(torch::kCPU, torch::kFloat).contiguous();
  const float* first = probabilities.data_ptr<float>();
  std::vector<std::size_t> labels;
  for (const Box3D& box : truth) {
    labels.push_back(static_cast<std::size_t>(output_of(box.label, detections.labels)));
  }
  const std::vector<Box3D> queries = decode_boxes(detections, b, coder);
  const auto classes = static_cast<std::size_t>(probabilities.size(1));
  std::vector<double> cost = matching_cost(queries, std::vector<float>(first, first + probabilities.numel()), classes, truth,
                                           labels, coder.grid, weights);
  // A query that is no box is the last to be matched. Where it makes the loss no number, the trainer skips the step or says so.
  for (double& one : cost) {
    one = std::isfinite(one) ? one : 1e6;
  }
  const std::vector<std::size_t> truth_of = assign(cost, queries.size(), truth.size());
  for (std::size_t q = 0; q < truth_of.size(); ++q) {
    if (truth_of[q] != unassigned) {
      matches.queries.push_back(static_cast<std::int64_t>(q));
      matches.truth.push_back(truth_of[q]);
    }
  }
  return matches;
}

torch::Tensor heat_map_target(const std::vector<std::vector<Box3D>>& truth, std::int64_t classes, const BevGrid& grid,
                              const GaussianOptions& options, const std::vector<DetectionClass>& labels) {
  const auto rows = static_cast<std::int64_t>(grid.cells_x);
  const auto columns = static_cast<std::int64_t>(grid.cells_y);
  torch::Tensor target = torch::zeros({static_cast<std::int64_t>(truth.size()), classes, rows, columns});
  float* values = target.data_ptr<float>();
  for (std::size_t b = 0; b < truth.size(); ++b) {
    for (const Box3D& box : truth[b]) {
      const auto map = static_cast<std::int64_t>(b) * classes + output_of(box.label, labels);
      draw_target({values + map * rows * columns, grid.cells_x, grid.cells_y}, grid, box, options);
    }
  }
  return target;
}

DetectionLosses detection_loss(const Detections& detections, const std::vector<std::vector<Box3D>>& truth, const BoxCoder& coder,
                               const DetectionLossOptions& options) {
  BoxCoder weighted = coder;
  weighted.weights = options.code.entries();
  const torch::Tensor codes = codes_of(detections);
  const auto batch = codes.size(0);
  const auto queries = codes.size(2);
  const auto classes = detections.class_logits.size(1);
  std::vector<std::vector<Box3D>> seen;
  for (const auto& boxes : truth) {
    seen.push_back(findable(boxes, coder.grid, detections.labels));
  }
  torch::Tensor class_target = torch::zeros({batch, classes, queries});
  torch::Tensor code_target = torch::zeros({batch, code_size, queries});
  torch::Tensor code_weight = torch::zeros({batch, code_size, queries});
  std::int64_t matched = 0;
  for (std::int64_t b = 0; b < batch; ++b) {
    const auto& boxes = seen[static_cast<std::size_t>(b)];
    const Matches matches = match(detections, b, boxes, coder, options.matching);
    auto class_of = class_target.accessor<float, 3>();
    auto code_of = code_target.accessor<float, 3>();
    auto weight_of = code_weight.accessor<float, 3>();
    for (std::size_t k = 0; k < matches.queries.size(); ++k, ++matched) {
      const Box3D& box = boxes[matches.truth[k]];
      const std::int64_t q = matches.queries[k];
      const RegressionTarget target = weighted.encode(box);
      class_of[b][output_of(box.label, detections.labels)][q] = 1;
      for (std::int64_t entry = 0; entry < code_size; ++entry) {
        code_of[b][entry][q] = static_cast<float>(target.code[static_cast<std::size_t>(entry)]);
        weight_of[b][entry][q] = static_cast<float>(target.weights[static_cast<std::size_t>(entry)]);
      }
    }
  }
  const double positives = std::max<double>(static_cast<double>(matched), 1.0);
  const torch::Device device = codes.device();
  DetectionLosses losses;
  losses.heat_map = options.heat_map *
                    heat_map_loss(detections.heat_map.to(torch::kFloat),
                                  heat_map_target(seen, classes, coder.grid, options.gaussian, detections.labels).to(device));
  losses.classification = options.classification / positives *
                          focal_loss(detections.class_logits.to(torch::kFloat), class_target.to(device), options.focal).sum();
  const torch::Tensor difference =
      torch::smooth_l1_loss(codes.to(torch::kFloat), code_target.to(device), at::Reduction::None, options.smooth_l1_beta) *
      code_weight.to(device) * (options.regression / positives);
  losses.box = difference.narrow(1, 0, code_size - velocity_entries).sum();
  losses.velocity = difference.narrow(1, code_size - velocity_entries, velocity_entries).sum();
  losses.total = losses.heat_map + losses.classification + losses.box + losses.velocity;
  return losses;
}

}  // namespace bevfusion
