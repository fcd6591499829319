// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/mask_grid.hpp"

#include <torch/torch.h>

namespace bevfusion {
namespace {

/// The centres of cells of the mask, as shares of the map's half side: cell i's is at (i + 0.5) / cells of the mask's square.
torch::Tensor mask_centres(const torch::Tensor& cells, double from, const MaskGrid& grid) {
  return (2 * (cells + 0.5) / static_cast<double>(grid.cells) - 1) * (grid.range / from);
}

/// Of places in a map, in single precision at least: bfloat16 cannot count the cells.
torch::TensorOptions place_options(const torch::Tensor& map) {
  return map.options().dtype(c10::promoteTypes(map.scalar_type(), torch::kFloat)).requires_grad(false);
}

}  // namespace

torch::Tensor resample(const torch::Tensor& map, double from, const MaskGrid& grid) {
  const torch::TensorOptions options = place_options(map);
  const torch::Tensor centres = mask_centres(torch::arange(grid.cells, options), from, grid);
  const torch::Tensor along_x = centres.view({-1, 1}).expand({grid.cells, grid.cells});
  const torch::Tensor along_y = centres.view({1, -1}).expand({grid.cells, grid.cells});
  // grid_sample's last dimension counts (width, height), and a BEV map is [x, y]: y first.
  const torch::Tensor places = torch::stack({along_y, along_x}, 2).unsqueeze(0).expand({map.size(0), -1, -1, -1});
  return torch::grid_sampler(map.to(options.dtype()), places, /*bilinear*/ 0, /*zeros*/ 0, /*align_corners=*/false);
}

torch::Tensor resample_rows(const torch::Tensor& map, double from, const MaskGrid& grid, std::int64_t first, std::int64_t last) {
  const torch::TensorOptions options = place_options(map);
  const auto in_cells = [&](const torch::Tensor& cells, std::int64_t side) {
    return ((mask_centres(cells, from, grid) + 1) * static_cast<double>(side) - 1) / 2;
  };
  // A bilinear weight is one of x times one of y. A row of the mask lies between two of the map; columns are a product.
  const torch::Tensor cells = torch::arange(first, last, options);
  const torch::Tensor in_mask = cells.ge(0).logical_and(cells.lt(grid.cells));
  const torch::Tensor x = in_cells(cells, map.size(2));
  const torch::Tensor before = x.floor();
  const auto share_of = [&](const torch::Tensor& row) {
    const torch::Tensor in_map = row.ge(0).logical_and(row.lt(map.size(2)));
    const torch::Tensor weight = (1 - (x - row).abs()) * in_map * in_mask;
    const torch::Tensor read = map.index_select(2, row.clamp(0, map.size(2) - 1).to(torch::kLong)).to(options.dtype());
    return read.mul_(weight.view({-1, 1}));
  };
  const torch::Tensor rows = share_of(before).add_(share_of(before + 1));
  const torch::Tensor y = in_cells(torch::arange(grid.cells, options), map.size(3));
  const torch::Tensor columns = (1 - (y - torch::arange(map.size(3), options).view({-1, 1})).abs()).clamp_min(0);  // [Y, cells]
  return torch::matmul(rows, columns);
}

}  // namespace bevfusion
