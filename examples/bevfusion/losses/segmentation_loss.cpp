// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/losses/segmentation_loss.hpp"

#include <torch/torch.h>

namespace bevfusion {

torch::Tensor segmentation_loss(const torch::Tensor& logits, const torch::Tensor& masks, const torch::Tensor& labelled,
                                const FocalOptions& focal, MaskReduction reduction) {
  const torch::Tensor known = labelled.to(torch::kBool);
  if (!known.any().item<bool>()) {
    return {};
  }
  const torch::Tensor by_layer =
      focal_loss(logits.to(torch::kFloat), masks.to(torch::kFloat), focal).mean({2, 3});  // [B, classes]
  const torch::Tensor counted = torch::where(known.to(by_layer.device()), by_layer, torch::zeros_like(by_layer));
  const torch::Tensor samples = known.to(by_layer.device()).sum(0);
  if (reduction == MaskReduction::mean) {
    return counted.sum() / samples.sum();
  }
  return (counted.sum(0) / samples.clamp_min(1)).sum();
}

}  // namespace bevfusion
