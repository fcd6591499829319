// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/losses/foreground_target.hpp"

#include <torch/torch.h>

#include "bevfusion/matching/foreground_mask.hpp"

namespace bevfusion {

torch::Tensor foreground_target(const std::vector<std::vector<Box3D>>& boxes, std::int64_t masks, const MaskGrid& grid,
                                const DetectionLabels& labels) {
  const auto cells = static_cast<std::size_t>(grid.cells);
  const BevGrid bev{-grid.range, -grid.range, 2 * grid.range / static_cast<double>(grid.cells), cells, cells};
  const torch::Tensor target =
      torch::zeros({static_cast<std::int64_t>(boxes.size()), masks, grid.cells, grid.cells}, torch::kByte);
  std::uint8_t* const values = target.data_ptr<std::uint8_t>();
  for (std::size_t b = 0; b < boxes.size(); ++b) {
    for (const Box3D& box : boxes[b]) {
      const std::size_t mask = foreground_mask(labels, box.label, static_cast<std::size_t>(masks));
      draw_footprint({values + (b * static_cast<std::size_t>(masks) + mask) * cells * cells, cells, cells}, bev, box);
    }
  }
  return target.to(torch::kFloat);
}

}  // namespace bevfusion
