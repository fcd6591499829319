// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/bev_fusion.hpp"

#include <stdexcept>
#include <utility>

#include <torch/torch.h>

namespace bevfusion {

BevFusionImpl::BevFusionImpl(ModelConfig config) : config_(std::move(config)) {
  const ModelParts& parts = config_.parts;
  if (!parts.lidar && !parts.camera) {
    throw std::invalid_argument("a model needs a branch: parts.lidar, parts.camera, or both");
  }
  std::vector<std::int64_t> widths;
  if (parts.lidar) {
    lidar_ = register_module("lidar", VoxelNet(config_.voxel_net));
    modalities_.emplace_back("lidar");
    widths.push_back(lidar_->bev_channels(config_.voxels.sparse_shape()[2]));
  }
  if (parts.camera) {
    if (config_.image_backbone == "swin") {
      images_ = register_module("images", std::make_shared<SwinBackbone>(config_.swin, config_.neck));
    } else if (config_.image_backbone == "conv") {
      images_ = register_module("images", std::make_shared<ConvBackbone>());
    } else {
      throw std::invalid_argument("image_backbone is '" + config_.image_backbone + "'; there are swin and conv");
    }
    lift_splat_ = register_module("lift_splat", LiftSplat(images_->channels(), config_.lift_splat));
    modalities_.emplace_back("camera");
    widths.push_back(config_.lift_splat.channels);
  }
  fuser_ = register_module("fuser", std::make_shared<ConcatFuser>(widths, config_.fused));
  config_.bev.inputs = fuser_->channels();
  bev_ = register_module("bev", BevBackbone(config_.bev));
  config_.detection.inputs = bev_->channels();
  config_.segmentation.inputs = bev_->channels();
  if (parts.detection) {
    detection_ = register_module("detection", FullerDet(config_.detection));
  }
  if (parts.segmentation) {
    segmentation_ = register_module("segmentation", FullerSeg(config_.segmentation));
  }
  if (parts.foreground) {
    FullerSegOptions masks = config_.segmentation;
    masks.classes = config_.foreground_masks;
    foreground_ = register_module("foreground", FullerSeg(masks));
  }
}

std::vector<torch::Tensor> BevFusionImpl::branches(const ModelInput& input) {
  std::vector<torch::Tensor> maps;
  if (lidar_) {
    maps.push_back(lidar_->forward(voxelise(input.clouds, config_.voxels)));
  }
  if (images_) {
    maps.push_back(lift_splat_->forward(images_->forward(input.images.flatten(0, 1)), input.geometry));
  }
  return maps;
}

torch::Tensor BevFusionImpl::fuse(const std::vector<torch::Tensor>& maps) { return bev_->forward(fuser_->forward(maps)); }

std::vector<torch::Tensor> BevFusionImpl::branch_parameters(std::size_t m) const {
  if (modalities_.at(m) == "lidar") {
    return lidar_->parameters();
  }
  std::vector<torch::Tensor> parameters = images_->parameters();
  for (const torch::Tensor& parameter : lift_splat_->parameters()) {
    parameters.push_back(parameter);
  }
  return parameters;
}

}  // namespace bevfusion
