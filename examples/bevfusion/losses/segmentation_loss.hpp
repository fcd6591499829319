// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "bevfusion/losses/focal_loss.hpp"

namespace bevfusion {

/// How the cells of the masks are brought together.
enum class MaskReduction {
  mean,                ///< over all labelled cells, as FULLER says
  sum_of_class_means,  ///< BEVFusion's: the number of classes times as large, a hidden loss weight
};

/// The loss of the map masks: focal, over labelled cells. Undefined where nothing is labelled, as the loss of an absent task is.
/// @param logits    [B, classes, X, Y]
/// @param masks     [B, classes, X, Y], 0 or 1
/// @param labelled  [B, classes], whether the layer is labelled in that sample
torch::Tensor segmentation_loss(const torch::Tensor& logits, const torch::Tensor& masks, const torch::Tensor& labelled,
                                const FocalOptions& focal = {}, MaskReduction reduction = MaskReduction::mean);

}  // namespace bevfusion
