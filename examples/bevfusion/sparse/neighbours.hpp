// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "bevfusion/sparse/sparse_tensor.hpp"

namespace bevfusion {

/// Which input site each output site of a sparse convolution reads at each kernel offset.
///
/// Offsets run x-major, as the rows of a weight [kx ky kz C_in, C_out] do.
struct Neighbours {
  torch::Tensor table;  ///< [M, K] int64: index of the input site, or N where none is active
  torch::Tensor keys;   ///< [M] int64: the output sites
  Extent shape;         ///< the output grid
};

/// The neighbours of a submanifold convolution: the output is active where the input is. The kernel is odd, padded by half of it.
/// @throws std::invalid_argument for an even kernel.
Neighbours submanifold_neighbours(const SparseTensor& input, const Extent& kernel);

/// The neighbours of a strided convolution: the output is active wherever an active input is read.
Neighbours strided_neighbours(const SparseTensor& input, const Extent& kernel, const Extent& stride, const Extent& padding);

}  // namespace bevfusion
