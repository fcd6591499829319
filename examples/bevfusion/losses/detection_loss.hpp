// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <torch/types.h>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/heads/detections.hpp"
#include "bevfusion/losses/focal_loss.hpp"
#include "bevfusion/matching/bev_grid.hpp"
#include "bevfusion/matching/box_coder.hpp"
#include "bevfusion/matching/gaussian_target.hpp"
#include "bevfusion/matching/matching_cost.hpp"

namespace bevfusion {

/// Weights of the detection loss; the defaults are FULLER's and, for the velocity, BEVFusion's.
struct DetectionLossOptions {
  double classification = 1.0;
  double regression = 0.25;
  double heat_map = 1.0;
  CodeWeights code;  ///< within `regression`; stands in for what the coder has
  double smooth_l1_beta = 1.0;
  FocalOptions focal;
  MatchingWeights matching;
  GaussianOptions gaussian;
};

/// The parts of a batch's detection loss, each weighted; `regression` in its groups too, so that each can be a task of its own.
struct DetectionLosses {
  torch::Tensor total;
  torch::Tensor heat_map;
  torch::Tensor classification;
  torch::Tensor box;  ///< centre, height, size, heading
  torch::Tensor velocity;
};

/// Which query each annotation of a sample is matched to.
struct Matches {
  std::vector<std::int64_t> queries;
  std::vector<std::size_t> truth;
};

/// The boxes a head predicts for sample `b`, query by query, without scores.
std::vector<Box3D> decode_boxes(const Detections& detections, std::int64_t b, const BoxCoder& coder);

/// The assignment of queries to annotations of least cost, for sample `b`.
Matches match(const Detections& detections, std::int64_t b, const std::vector<Box3D>& truth, const BoxCoder& coder,
              const MatchingWeights& weights);

/// Heat-map targets [B, classes, X, Y] of a batch's annotations. All of them must be of classes that have an output.
/// @param labels  what the classes stand for, as in Detections
torch::Tensor heat_map_target(const std::vector<std::vector<Box3D>>& truth, std::int64_t classes, const BevGrid& grid,
                              const GaussianOptions& options, const std::vector<DetectionClass>& labels = {});

/// The loss of Fuller-det: heat map, and, on queries matched to annotations, class and box.
///
/// Sums over queries are divided by the number of matched queries of the batch, at least 1. Where a velocity is unknown its entry
/// counts nothing. Matching runs on the host.
/// @param truth  one list of annotations per sample; those off the grid, or of classes without an output, are left out
DetectionLosses detection_loss(const Detections& detections, const std::vector<std::vector<Box3D>>& truth, const BoxCoder& coder,
                               const DetectionLossOptions& options = {});

}  // namespace bevfusion
