// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>

#include <torch/nn.h>

#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/model/batch.hpp"

namespace bevfusion {

struct RunConfig;

/// The loss of a detection head on the samples of a batch whose boxes are labels.
/// @param said  Detections
DetectionLosses labelled_detection_losses(torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                                          const RunConfig& config);

}  // namespace bevfusion
