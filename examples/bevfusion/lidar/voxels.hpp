// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include <torch/types.h>

#include "bevfusion/sparse/sparse_tensor.hpp"

namespace bevfusion {

/// The box of space that is looked at, cut into voxels; metres, in the LiDAR frame.
struct VoxelGrid {
  std::array<double, 3> lowest;  ///< x, y, z
  std::array<double, 3> highest;
  std::array<double, 3> size;
  std::int64_t points_per_voxel = 10;
  std::int64_t most_voxels = 60000;

  /// Cells along x, y, z; one more along z than fit, as VoxelNet's strides expect.
  Extent sparse_shape() const;
};

/// FULLER's.
inline const VoxelGrid full_voxel_grid{{-51.2, -51.2, -5.0}, {51.2, 51.2, 3.0}, {0.1, 0.1, 0.2}};

/// Voxels of a batch of point clouds: the mean of the first points that fall into each.
///
/// Hard voxels: the first `points_per_voxel` points in the cloud's order count, and the first `most_voxels` voxels to receive a
/// point are kept. Deterministic. Points outside of the grid, and points with a coordinate that is not finite, are dropped.
/// @param clouds  one [N_b, F] float tensor per sample: x, y, z and further features
/// @return features [V, F]
SparseTensor voxelise(const std::vector<torch::Tensor>& clouds, const VoxelGrid& grid);

/// The rank of each element of `sorted_groups` [N], an ascending list of numbers, among those equal to it: 0, 1, ...
torch::Tensor rank_in_group(const torch::Tensor& sorted_groups);

}  // namespace bevfusion
