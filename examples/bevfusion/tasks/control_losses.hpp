// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <torch/types.h>

#include "bevfusion/heads/control_head.hpp"
#include "bevfusion/model/batch.hpp"

namespace bevfusion {

/// Mean absolute differences of way-points, steer, throttle and brake from what the labelled samples' drivers did, over samples
/// and times; each undefined where none is labelled.
std::vector<torch::Tensor> control_losses(const ControlChain& said, const TrainingBatch& batch);

}  // namespace bevfusion
