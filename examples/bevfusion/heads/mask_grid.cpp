// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/mask_grid.hpp"

#include <torch/torch.h>

namespace bevfusion {

torch::Tensor resample(const torch::Tensor& map, double from, const MaskGrid& grid) {
  // Cell i of the mask has its centre at (i + 0.5) / cells of its square; grid_sample wants it as a share of the map's square.
  const double share = grid.range / from;
  // In single precision at least: bfloat16 cannot count the cells.
  const auto exact = c10::promoteTypes(map.scalar_type(), torch::kFloat);
  const auto options = map.options().dtype(exact).requires_grad(false);
  const torch::Tensor centres = (2 * (torch::arange(grid.cells, options) + 0.5) / static_cast<double>(grid.cells) - 1) * share;
  const torch::Tensor along_x = centres.view({-1, 1}).expand({grid.cells, grid.cells});
  const torch::Tensor along_y = centres.view({1, -1}).expand({grid.cells, grid.cells});
  // grid_sample's last dimension counts (width, height), and a BEV map is [x, y]: y first.
  const torch::Tensor places = torch::stack({along_y, along_x}, 2).unsqueeze(0).expand({map.size(0), -1, -1, -1});
  return torch::grid_sampler(map.to(exact), places, /*bilinear*/ 0, /*zeros*/ 0, /*align_corners=*/false);
}

}  // namespace bevfusion
