// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>

#include <torch/types.h>

namespace bevfusion {

/// Cells, padding, strides and kernel extents of a grid, in the order x, y, z.
using Extent = std::array<std::int64_t, 3>;

/// The active sites of a batch of sparse 3-D grids and what is stored there.
///
/// A site (b, x, y, z) has the key ((b X + x) Y + y) Z + z; keys are sorted and unique, so a neighbour is found by binary search,
/// on CPU and CUDA alike.
struct SparseTensor {
  torch::Tensor features;  ///< [N, C], floating point
  torch::Tensor keys;      ///< [N], int64, ascending
  Extent shape;            ///< X, Y, Z
  std::int64_t batch = 1;  ///< number of grids

  /// The sites as [N, 4] int64: b, x, y, z.
  torch::Tensor sites() const;

  /// The dense grid [B, C, X, Y, Z], zero where no site is active; differentiable with respect to the features.
  torch::Tensor dense() const;
};

/// The sparse tensor of sites [N, 4] (b, x, y, z; int64, unique, in any order) and their features [N, C].
/// @throws std::invalid_argument for sites outside of the grid or given twice.
SparseTensor make_sparse(const torch::Tensor& sites, const torch::Tensor& features, const Extent& shape, std::int64_t batch);

/// The keys of sites [..., 4].
torch::Tensor keys_of(const torch::Tensor& sites, const Extent& shape);

/// The sites [N, 4] of keys [N].
torch::Tensor sites_of(const torch::Tensor& keys, const Extent& shape);

}  // namespace bevfusion
