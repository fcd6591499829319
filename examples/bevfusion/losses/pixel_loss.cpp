// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/losses/pixel_loss.hpp"

#include <torch/torch.h>

#include "bevfusion/labels/pixel_class.hpp"

namespace bevfusion {

torch::Tensor at_pixels(const torch::Tensor& logits, std::int64_t height, std::int64_t width) {
  return torch::nn::functional::interpolate(logits.to(torch::kFloat), torch::nn::functional::InterpolateFuncOptions()
                                                                          .size(std::vector<std::int64_t>{height, width})
                                                                          .mode(torch::kBilinear)
                                                                          .align_corners(false));
}

torch::Tensor pixel_loss(const torch::Tensor& logits, const torch::Tensor& classes) {
  constexpr double smooth = 1e-7;
  const torch::Tensor said = at_pixels(logits, classes.size(1), classes.size(2));
  const torch::Tensor label = classes.to(said.device(), torch::kLong).unsqueeze(1);  // [N, 1, H, W]
  const torch::Tensor known = label.ne(no_pixel_class).to(torch::kFloat);
  const torch::Tensor truth = torch::zeros_like(said).scatter_(1, label.clamp_max(said.size(1) - 1), 1.0) * known;
  const torch::Tensor entropy =
      torch::binary_cross_entropy_with_logits(said, truth, known.expand_as(said), {}, at::Reduction::Sum);
  const torch::Tensor probability = said.sigmoid() * known;
  const torch::Tensor labelled = known.sum();
  const torch::Tensor both = (probability * truth).sum();
  return entropy / (labelled * said.size(1)) + 1 - (2 * both + smooth) / (probability.sum() + labelled + smooth);
}

}  // namespace bevfusion
