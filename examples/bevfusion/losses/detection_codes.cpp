// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/losses/detection_codes.hpp"

#include <algorithm>
#include <iterator>

#include <torch/torch.h>

namespace bevfusion {

torch::Tensor codes_of(const Detections& detections) {
  return torch::cat({detections.centre, detections.height, detections.size, detections.heading, detections.velocity}, 1);
}

std::vector<Box3D> boxes_of_codes(const torch::Tensor& codes, const BoxCoder& coder) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor rows = codes.t().to(torch::kCPU, torch::kDouble).contiguous();  // [Q, 10]
  const double* at = rows.data_ptr<double>();
  std::vector<Box3D> boxes;
  for (std::int64_t q = 0; q < rows.size(0); ++q, at += code_size) {
    BoxCode code{};
    std::copy(at, at + code_size, code.begin());
    boxes.push_back(coder.decode(code));
  }
  return boxes;
}

std::vector<Box3D> findable(const std::vector<Box3D>& boxes, const BevGrid& grid, const std::vector<DetectionClass>& labels) {
  std::vector<Box3D> kept;
  std::copy_if(boxes.begin(), boxes.end(), std::back_inserter(kept), [&](const Box3D& box) {
    return grid.contains(box.center.x(), box.center.y()) && output_of(box.label, labels) >= 0;
  });
  return kept;
}

}  // namespace bevfusion
