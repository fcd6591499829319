// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn.h>

namespace bevfusion {

/// What draws masks of classes from the shared representation. A head of another kind is another class of this kind, made by
/// name.
class SegmentationHead : public torch::nn::Module {
 public:
  /// @param shared  [B, C, X, Y]
  /// @return logits [B, masks, cells, cells], over ModelConfig::segmentation.mask
  virtual torch::Tensor forward(const torch::Tensor& shared) = 0;
};

}  // namespace bevfusion
