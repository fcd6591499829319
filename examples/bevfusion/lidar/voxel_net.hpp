// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/lidar/lidar_backbone.hpp"
#include "bevfusion/lidar/voxels.hpp"
#include "bevfusion/model/batch_norm.hpp"
#include "bevfusion/sparse/sparse_convolution.hpp"

namespace bevfusion {

/// Widths of a VoxelNet. Defaults: the full model.
struct VoxelNetOptions {
  std::int64_t inputs = 5;                              ///< features of a voxel
  std::vector<std::int64_t> channels{16, 32, 64, 128};  ///< of the stages; each but the first halves the grid
  std::int64_t blocks = 2;                              ///< residual blocks of each stage
};

/// A submanifold residual block: conv, BN, ReLU, conv, BN, add, ReLU.
class SparseResidualBlockImpl : public torch::nn::Module {
 public:
  explicit SparseResidualBlockImpl(std::int64_t channels);
  torch::Tensor forward(const torch::Tensor& features, const Neighbours& neighbours);

 private:
  SparseConvolution conv1_{nullptr}, conv2_{nullptr};
  BatchNorm norm1_{nullptr}, norm2_{nullptr};
};
TORCH_MODULE(SparseResidualBlock);

/// The LiDAR branch: sparse voxels in, a BEV map out.
///
/// A submanifold convolution, then stages of residual blocks with a strided convolution between them, then a convolution
/// over height, and the height that is left merged into the channels (index = c * height + z).
class VoxelNetImpl : public LidarBackbone {
 public:
  /// @param grid  that forward(clouds) cuts into voxels
  explicit VoxelNetImpl(VoxelNetOptions options = {}, const VoxelGrid& grid = full_voxel_grid);

  torch::Tensor forward(const std::vector<torch::Tensor>& clouds) override { return forward(voxelise(clouds, grid_)); }
  std::int64_t channels() const override { return bev_channels(grid_.sparse_shape()[2]); }

  /// @return [B, bev_channels, X / 2^s, Y / 2^s] for s + 1 stages
  torch::Tensor forward(const SparseTensor& voxels);

  /// Channels of the BEV map for a grid of so many cells along z.
  std::int64_t bev_channels(std::int64_t cells_z) const;

 private:
  struct Layer {
    SparseConvolution conv{nullptr};
    BatchNorm norm{nullptr};
  };
  Layer make_layer(const std::string& name, std::int64_t in, std::int64_t out, const Extent& kernel);

  VoxelNetOptions options_;
  VoxelGrid grid_;
  Layer input_;
  std::vector<std::vector<SparseResidualBlock>> stages_;
  std::vector<Layer> downs_;
  Layer output_;
};
TORCH_MODULE(VoxelNet);

}  // namespace bevfusion
