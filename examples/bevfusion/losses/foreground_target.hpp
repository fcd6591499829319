// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/heads/fuller_seg.hpp"
#include "bevfusion/labels/label_sets.hpp"

namespace bevfusion {

/// Footprints of the annotations in bird's-eye view, in the masks that their classes belong to (see foreground_mask()).
/// @param boxes  of each sample, in the frame of the grid
/// @param masks  1, one a group or one a label
/// @return [B, masks, cells, cells] float, 0 or 1
/// @throws std::invalid_argument for another number of masks
torch::Tensor foreground_target(const std::vector<std::vector<Box3D>>& boxes, std::int64_t masks, const MaskGrid& grid,
                                const DetectionLabels& labels = standard_boxes());

}  // namespace bevfusion
