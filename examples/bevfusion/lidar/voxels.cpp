// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/lidar/voxels.hpp"

#include <cmath>
#include <sstream>
#include <stdexcept>

#include <torch/torch.h>

namespace bevfusion {
namespace {

struct Voxels {
  torch::Tensor sites;     ///< [V, 4]
  torch::Tensor features;  ///< [V, F]
};

Voxels voxelise_one(const torch::Tensor& cloud, std::int64_t sample, const VoxelGrid& grid) {
  if (cloud.dim() != 2 || cloud.size(1) < 3) {
    std::ostringstream text;
    text << "a point cloud needs the shape [points, 3 or more], got " << cloud.sizes();
    throw std::invalid_argument(text.str());
  }
  const auto options = cloud.options();
  const torch::Tensor lowest = torch::tensor({grid.lowest[0], grid.lowest[1], grid.lowest[2]}, torch::kDouble).to(cloud.device());
  const torch::Tensor size = torch::tensor({grid.size[0], grid.size[1], grid.size[2]}, torch::kDouble).to(cloud.device());
  const torch::Tensor highest =
      torch::tensor({grid.highest[0], grid.highest[1], grid.highest[2]}, torch::kDouble).to(cloud.device());
  const torch::Tensor position = cloud.slice(1, 0, 3).to(torch::kDouble);
  const torch::Tensor inside = ((position >= lowest) & (position < highest)).all(1);  // NaN compares false
  const torch::Tensor kept = inside.nonzero().flatten();
  const torch::Tensor points = cloud.index_select(0, kept);
  const Extent shape = grid.sparse_shape();
  const torch::Tensor cells = ((position.index_select(0, kept) - lowest) / size).floor().to(torch::kLong);
  if (points.size(0) == 0) {
    return {torch::zeros({0, 4}, options.dtype(torch::kLong)), torch::zeros({0, cloud.size(1)}, options)};
  }
  const torch::Tensor batch = torch::full({cells.size(0), 1}, sample, cells.options());
  const torch::Tensor keys = keys_of(torch::cat({batch, cells}, 1), shape);
  const auto [sorted, order] = keys.sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
  const torch::Tensor counted = (rank_in_group(sorted) < grid.points_per_voxel).nonzero().flatten();
  const torch::Tensor source = order.index_select(0, counted);
  const auto [unique, voxel_of, counts] = at::_unique2(sorted.index_select(0, counted), true, true, true);
  const torch::Tensor sums =
      torch::zeros({unique.size(0), points.size(1)}, options).index_add_(0, voxel_of, points.index_select(0, source));
  torch::Tensor features = sums / counts.unsqueeze(1).to(sums.scalar_type());
  torch::Tensor sites = sites_of(unique, shape);
  if (unique.size(0) > grid.most_voxels) {
    // First come, first kept: by the first point of each voxel in the cloud's order.
    const torch::Tensor first = torch::full({unique.size(0)}, points.size(0), source.options())
                                    .scatter_reduce(0, voxel_of, source, "amin", /*include_self=*/true);
    const torch::Tensor chosen = std::get<0>(first.argsort().slice(0, 0, grid.most_voxels).sort());
    features = features.index_select(0, chosen);
    sites = sites.index_select(0, chosen);
  }
  return {sites, features};
}

}  // namespace

torch::Tensor rank_in_group(const torch::Tensor& sorted_groups) {
  const std::int64_t count = sorted_groups.size(0);
  const torch::Tensor place = torch::arange(count, sorted_groups.options());
  torch::Tensor first = torch::ones({count}, sorted_groups.options().dtype(torch::kBool));
  first.slice(0, 1).copy_(sorted_groups.slice(0, 1) != sorted_groups.slice(0, 0, -1));
  const torch::Tensor start = std::get<0>(torch::where(first, place, torch::zeros_like(place)).cummax(0));
  return place - start;
}

Extent VoxelGrid::sparse_shape() const {
  Extent shape{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    shape[axis] = std::llround((highest[axis] - lowest[axis]) / size[axis]);
  }
  ++shape[2];
  return shape;
}

SparseTensor voxelise(const std::vector<torch::Tensor>& clouds, const VoxelGrid& grid) {
  if (clouds.empty()) {
    throw std::invalid_argument("voxelise() got no point cloud");
  }
  std::vector<torch::Tensor> sites;
  std::vector<torch::Tensor> features;
  for (std::size_t b = 0; b < clouds.size(); ++b) {
    Voxels one = voxelise_one(clouds[b], static_cast<std::int64_t>(b), grid);
    sites.push_back(std::move(one.sites));
    features.push_back(std::move(one.features));
  }
  return make_sparse(torch::cat(sites), torch::cat(features), grid.sparse_shape(), static_cast<std::int64_t>(clouds.size()));
}

}  // namespace bevfusion
