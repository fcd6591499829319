// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/heads/detections.hpp"

namespace bevfusion {

/// The small networks that read boxes off decoded queries, by name: centre, height, size, heading, velocity, class.
/// @param hidden  channels of each
std::vector<std::pair<std::string, torch::nn::Sequential>> make_box_branches(std::int64_t channels, std::int64_t hidden,
                                                                             std::int64_t classes, double score_bias);

/// Writes what the branches, in that order, say of queries.
/// @param decoded  [B, C, Q]
/// @param centre   [B, 2, Q], cells: where the queries started, from which the first branch counts
void read_boxes(std::vector<torch::nn::Sequential>& branches, const torch::Tensor& decoded, const torch::Tensor& centre,
                Detections& out);

}  // namespace bevfusion
