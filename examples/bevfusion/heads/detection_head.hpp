// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/heads/detections.hpp"
#include "bevfusion/losses/detection_loss.hpp"

namespace bevfusion {

/// What a head's outputs have to know of the classes they stand for.
struct DetectionOutputs {
  std::int64_t classes = 0;
  std::vector<std::int64_t> points;  ///< those whose peaks in the heat map are single cells
};

/// What finds boxes in the shared representation. A head of another kind is another class of this kind, made by name.
class DetectionHead : public torch::nn::Module {
 public:
  /// @param shared  [B, C, X, Y]
  virtual Detections forward(const torch::Tensor& shared) = 0;

  /// The loss of what forward() said. That of heads with queries is the default; a head that is trained otherwise has its own.
  /// @param truth  one list of annotations a sample
  virtual DetectionLosses loss(const Detections& said, const std::vector<std::vector<Box3D>>& truth, const BoxCoder& coder,
                               const DetectionLossOptions& options) const {
    return detection_loss(said, truth, coder, options);
  }
};

}  // namespace bevfusion
