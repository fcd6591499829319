// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/types.h>

#include "bevfusion/heads/detections.hpp"
#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/matching/box_coder.hpp"

namespace bevfusion {

/// How far probabilities are from an expert's, element by element: the Kullback-Leibler divergence of sigmoid(logits) from
/// sigmoid(expert), which is the cross entropy without what the expert itself leaves open. Its gradient is sigmoid(logits) -
/// sigmoid(expert); it is 0 where they agree. No gradient goes into the expert.
torch::Tensor bernoulli_divergence(const torch::Tensor& logits, const torch::Tensor& expert);

/// Response distillation of masks: the mean divergence over samples, masks and cells.
/// @throws std::invalid_argument for other shapes
torch::Tensor mask_response(const torch::Tensor& logits, const torch::Tensor& expert);

/// Response distillation of detections, by the parts and weights of the detection loss with the expert in the annotations' place.
///
/// The expert's boxes are those of its queries that score `least_score` or more (scored_boxes()), the surest where they are more
/// than the queries here. Each is matched to a query of `said` as an annotation is; there the divergence of the classes and the
/// weighted absolute difference of the codes count, and over the whole map the divergence of the heat maps, each cell's times the
/// squared difference of its probabilities, as in the quality focal loss: cells where nothing is would drown the others. The sum
/// is divided by the number of the expert's boxes in the batch, at least 1.
torch::Tensor detection_response(const Detections& said, const Detections& expert, const BoxCoder& coder,
                                 const DetectionLossOptions& options, double least_score);

}  // namespace bevfusion
