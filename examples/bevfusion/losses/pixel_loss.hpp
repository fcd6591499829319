// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/types.h>

namespace bevfusion {

/// Logits at the size of a picture, bilinear.
/// @param logits  [N, K, h, w]
/// @return [N, K, height, width] float
torch::Tensor at_pixels(const torch::Tensor& logits, std::int64_t height, std::int64_t width);

/// The loss of the classes of a sample's pixels, as DMFuser's repository has it: over labelled pixels and classes together, the
/// mean binary cross entropy of the probabilities p = sigmoid(logits) to t, which is 1 at a pixel's class and 0 elsewhere, plus
/// one minus soft Dice, (2 sum p t + s) / (sum p + sum t + s), s = 1e-7.
/// @param logits   [N, K, h, w], of its N pictures, brought to the pixels bilinearly
/// @param classes  [N, H, W] byte: a class below K, or no_pixel_class; some pixel is labelled
torch::Tensor pixel_loss(const torch::Tensor& logits, const torch::Tensor& classes);

}  // namespace bevfusion
