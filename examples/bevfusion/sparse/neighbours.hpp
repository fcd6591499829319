// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/sparse/sparse_tensor.hpp"

namespace bevfusion {

/// Pairs of an output site and an input site that it reads: those of the first kernel offset, those of the second, and so on. At
/// one offset no site is in two pairs.
struct SitePairs {
  torch::Tensor outputs;             ///< [P] int64
  torch::Tensor inputs;              ///< [P] int64
  std::vector<std::int64_t> counts;  ///< [K]: of each offset
};

/// Which input site each output site of a sparse convolution reads at each kernel offset.
///
/// Offsets run x-major, as the rows of a weight [kx ky kz C_in, C_out] do.
struct Neighbours {
  torch::Tensor table;  ///< [M, K] int64: index of the input site, or N where none is active
  torch::Tensor keys;   ///< [M] int64: the output sites
  Extent shape;         ///< the output grid
  SitePairs pairs;      ///< what the table has, where it was found on the CPU; else undefined
};

/// The neighbours of a submanifold convolution: the output is active where the input is. The kernel is odd, padded by half of it.
/// @param by_search  by a binary search for each neighbour, as on a device, where the CPU walks through the sites
/// @throws std::invalid_argument for an even kernel.
Neighbours submanifold_neighbours(const SparseTensor& input, const Extent& kernel, bool by_search = false);

/// The neighbours of a strided convolution: the output is active wherever an active input is read.
Neighbours strided_neighbours(const SparseTensor& input, const Extent& kernel, const Extent& stride, const Extent& padding,
                              bool by_search = false);

}  // namespace bevfusion
