// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn.h>

#include "bevfusion/sparse/neighbours.hpp"

namespace bevfusion {

/// A sparse convolution's features: out[m] = sum_k in[table[m, k]] W_k, with nothing for sites that are not active.
///
/// On the CPU, in single or double precision, a product for each offset of the pairs of sites that are there. Else one gather and
/// one product [M, K C_in] x [K C_in, C_out], whose backward gathers the cotangents of a site's readers instead of adding to it
/// from each. Both in row chunks so that gathered rows stay under `chunk_bytes` and in the caches, and backward gathers again
/// rather than keep them. Deterministic.
/// @param features  [N, C_in]
/// @param weight    [K C_in, C_out], offsets x-major
torch::Tensor sparse_convolution(const torch::Tensor& features, const torch::Tensor& weight, const Neighbours& neighbours,
                                 std::int64_t chunk_bytes = std::int64_t{1} << 20);

/// A sparse 3-D convolution without bias, submanifold or strided.
class SparseConvolutionImpl : public torch::nn::Module {
 public:
  SparseConvolutionImpl(std::int64_t in, std::int64_t out, const Extent& kernel);

  /// The features at the output sites of `neighbours`.
  torch::Tensor forward(const torch::Tensor& features, const Neighbours& neighbours) const;

  torch::Tensor weight;  ///< [kx ky kz in, out]
};
TORCH_MODULE(SparseConvolution);

}  // namespace bevfusion
