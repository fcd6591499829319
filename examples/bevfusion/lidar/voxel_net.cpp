// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/lidar/voxel_net.hpp"

#include <memory>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/blocks.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {
namespace {

constexpr Extent cube{3, 3, 3};
constexpr Extent column{1, 1, 3};

BatchNorm batch_norm(std::int64_t channels) { return BatchNorm(torch::nn::BatchNormOptions(channels).eps(1e-3).momentum(0.01)); }

/// Padding of the strided convolution in front of stage `stage` of `stages`: the last one does not pad height, so that few
/// levels are left.
Extent padding_before(std::size_t stage, std::size_t stages) { return {1, 1, stage + 1 == stages ? 0 : 1}; }

}  // namespace

SparseResidualBlockImpl::SparseResidualBlockImpl(std::int64_t channels) {
  conv1_ = register_module("conv1", SparseConvolution(channels, channels, cube));
  norm1_ = register_module("norm1", batch_norm(channels));
  conv2_ = register_module("conv2", SparseConvolution(channels, channels, cube));
  norm2_ = register_module("norm2", batch_norm(channels));
}

torch::Tensor SparseResidualBlockImpl::forward(const torch::Tensor& features, const Neighbours& neighbours) {
  torch::Tensor inner = normalise_rows(norm1_, conv1_->forward(features, neighbours)).relu_();
  inner = normalise_rows(norm2_, conv2_->forward(inner, neighbours));
  return torch::relu(inner + features);
}

VoxelNetImpl::VoxelNetImpl(VoxelNetOptions options, const VoxelGrid& grid) : options_(std::move(options)), grid_(grid) {
  const auto& channels = options_.channels;
  input_ = make_layer("input", options_.inputs, channels.front(), cube);
  for (std::size_t stage = 0; stage < channels.size(); ++stage) {
    if (stage > 0) {
      downs_.push_back(make_layer("down" + std::to_string(stage), channels[stage - 1], channels[stage], cube));
    }
    auto& blocks = stages_.emplace_back();
    for (std::int64_t block = 0; block < options_.blocks; ++block) {
      blocks.push_back(register_module("stage" + std::to_string(stage + 1) + "_block" + std::to_string(block + 1),
                                       SparseResidualBlock(channels[stage])));
    }
  }
  output_ = make_layer("output", channels.back(), channels.back(), column);
}

VoxelNetImpl::Layer VoxelNetImpl::make_layer(const std::string& name, std::int64_t in, std::int64_t out, const Extent& kernel) {
  return {register_module(name + "_conv", SparseConvolution(in, out, kernel)), register_module(name + "_norm", batch_norm(out))};
}

std::int64_t VoxelNetImpl::bev_channels(std::int64_t cells_z) const {
  for (std::size_t stage = 1; stage < options_.channels.size(); ++stage) {
    cells_z = (cells_z + 2 * padding_before(stage, options_.channels.size())[2] - 3) / 2 + 1;
  }
  return options_.channels.back() * ((cells_z - 3) / 2 + 1);
}

torch::Tensor VoxelNetImpl::forward(const SparseTensor& voxels) {
  SparseTensor at = voxels;
  const auto apply = [&](Layer& layer, const Neighbours& neighbours) {
    at.features = normalise_rows(layer.norm, layer.conv->forward(at.features, neighbours)).relu_();
    at.keys = neighbours.keys;
    at.shape = neighbours.shape;
  };
  Neighbours same = submanifold_neighbours(at, cube);
  apply(input_, same);
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    if (stage > 0) {
      apply(downs_[stage - 1], strided_neighbours(at, cube, {2, 2, 2}, padding_before(stage, stages_.size())));
      same = submanifold_neighbours(at, cube);
    }
    for (auto& block : stages_[stage]) {
      at.features = block->forward(at.features, same);
    }
  }
  apply(output_, strided_neighbours(at, column, {1, 1, 2}, {0, 0, 0}));
  const torch::Tensor dense = at.dense();  // [B, C, X, Y, Z]
  return dense.permute({0, 1, 4, 2, 3}).reshape({at.batch, dense.size(1) * dense.size(4), at.shape[0], at.shape[1]});
}

void register_voxel_net(Kinds& kinds) {
  kinds.lidar_backbones.add(
      "voxel_net", [](const ModelConfig& config) { return std::make_shared<VoxelNetImpl>(config.voxel_net, config.voxels); });
}

}  // namespace bevfusion
