// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/heads/detections.hpp"
#include "bevfusion/matching/bev_grid.hpp"
#include "bevfusion/matching/box_coder.hpp"

namespace bevfusion {

/// Entries of a BoxCode; its last two are the velocity.
inline constexpr std::int64_t code_size = 10;
inline constexpr std::int64_t velocity_entries = 2;

/// The predicted codes, [B, 10, Q], in BoxCode's order.
torch::Tensor codes_of(const Detections& detections);

/// The boxes of codes [10, Q], without scores and labels.
std::vector<Box3D> boxes_of_codes(const torch::Tensor& codes, const BoxCoder& coder);

/// The annotations that a head can find: those on the grid, of classes that have an output.
/// @param labels  what the outputs stand for, as in Detections
std::vector<Box3D> findable(const std::vector<Box3D>& boxes, const BevGrid& grid, const std::vector<DetectionClass>& labels);

}  // namespace bevfusion
