// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bevfusion/losses/detection_loss.hpp"

namespace bevfusion {

/// Outputs by group, those of a group sharing what is said of boxes. Each output is in one group.
using OutputGroups = std::vector<std::vector<std::int64_t>>;

/// The loss of a head that says a box at every cell, group by group of classes (CenterPoint's, with BEVFusion's weights).
///
/// Sum over the groups of the heat map's focal loss, and of the absolute differences of the codes at the cells that hold the
/// centres of annotations, weighted by `options.code` and `options.regression`, over the group's annotations in the batch, at
/// least 1 (BEVFusion adds 1e-4 to their number instead). Two annotations of a group in one cell both count. Where a velocity is
/// unknown its entries count nothing; `classification` is 0. Of `options` the heat map's weight, regression, code and gaussian
/// are read.
/// @param said  with a query for each group and cell, query g X Y + i Y + j that of cell (i, j) in group g
/// @param truth  one list of annotations a sample; those off the grid, or of classes without an output, are left out
/// @param most  annotations of a sample that count in a group, the first ones
DetectionLosses centre_loss(const Detections& said, const std::vector<std::vector<Box3D>>& truth, const BoxCoder& coder,
                            const DetectionLossOptions& options, const OutputGroups& groups, std::size_t most);

}  // namespace bevfusion
