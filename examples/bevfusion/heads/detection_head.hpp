// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/heads/detections.hpp"
#include "bevfusion/losses/detection_loss.hpp"

namespace bevfusion {

/// What a head's outputs have to know of the classes they stand for.
struct DetectionOutputs {
  std::int64_t classes = 0;
  std::vector<std::int64_t> points;  ///< those whose peaks in the heat map are single cells
  std::vector<std::string> names;    ///< of their labels, output by output
};

struct ModelConfig;
struct LabelSets;

/// The outputs of a config's detection head.
/// @throws std::invalid_argument as detection_labels() and point_labels()
DetectionOutputs detection_outputs(const ModelConfig& config, const LabelSets& sets);

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
