// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/losses/focal_loss.hpp"

#include <torch/torch.h>

namespace bevfusion {

torch::Tensor focal_loss(const torch::Tensor& logits, const torch::Tensor& target, const FocalOptions& options) {
  const torch::Tensor wrong = torch::where(target > 0.5, 1 - logits.sigmoid(), logits.sigmoid());  // 1 - p_t
  const torch::Tensor entropy = torch::binary_cross_entropy_with_logits(logits, target, {}, {}, at::Reduction::None);
  torch::Tensor loss = wrong.pow(options.gamma) * entropy;
  if (options.alpha >= 0) {
    loss =
        loss * torch::where(target > 0.5, torch::full_like(target, options.alpha), torch::full_like(target, 1 - options.alpha));
  }
  return loss;
}

torch::Tensor heat_map_loss(const torch::Tensor& logits, const torch::Tensor& target) {
  constexpr double clip = 1e-4;
  const torch::Tensor p = logits.sigmoid().clamp(clip, 1 - clip);
  const torch::Tensor centre = target == 1;
  const torch::Tensor at_centre = (1 - p).pow(2) * p.log();
  const torch::Tensor elsewhere = (1 - target).pow(4) * p.pow(2) * (1 - p).log();
  return -torch::where(centre, at_centre, elsewhere).sum() / centre.sum().clamp_min(1);
}

}  // namespace bevfusion
