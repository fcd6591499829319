// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/bev_fusion.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/labels.hpp"

namespace bevfusion {

BevFusionImpl::BevFusionImpl(ModelConfig config, const Kinds& kinds)
    : config_(std::move(config)), detection_labels_(detection_labels(config_, kinds.labels)) {
  const ModelParts& parts = config_.parts;
  if (!parts.lidar && !parts.camera) {
    throw std::invalid_argument("a model needs a branch: parts.lidar, parts.camera, or both");
  }
  std::vector<std::int64_t> widths;
  if (parts.lidar) {
    lidar_ = register_module("lidar", kinds.lidar_backbones.make(config_.lidar_backbone, config_));
    modalities_.emplace_back("lidar");
    widths.push_back(lidar_->channels());
  }
  if (parts.camera) {
    images_ = register_module("images", kinds.image_backbones.make(config_.image_backbone, config_));
    lift_splat_ = register_module("lift_splat", LiftSplat(images_->channels(), config_.lift_splat));
    modalities_.emplace_back("camera");
    widths.push_back(config_.lift_splat.channels);
  }
  fuser_ = register_module("fuser", kinds.fusers.make(config_.fuser, config_, widths));
  const auto bev = [&](const std::string& name) {
    return register_module(name, kinds.bev_backbones.make(config_.bev_backbone, config_, fuser_->channels()));
  };
  std::int64_t channels = 0;
  if (!config_.separate_bev) {
    bev_ = bev("bev");
    channels = bev_->channels();
  } else {
    const std::pair<const char*, bool> tasks[] = {
        {"detection", parts.detection}, {"segmentation", parts.segmentation}, {"foreground", parts.foreground}};
    for (const auto& [task, there] : tasks) {
      if (there) {
        channels = (of_tasks_[task] = bev(std::string(task) + "_bev"))->channels();
      }
    }
  }
  const auto outputs = [&] {
    const std::vector<DetectionClass> points = point_labels(config_, kinds.labels);
    DetectionOutputs of{static_cast<std::int64_t>(detection_labels_.size()), {}};
    for (std::size_t k = 0; k < detection_labels_.size(); ++k) {
      if (std::find(points.begin(), points.end(), detection_labels_[k]) != points.end()) {
        of.points.push_back(static_cast<std::int64_t>(k));
      }
    }
    return of;
  };
  if (parts.detection) {
    detection_ = register_module("detection", kinds.detection_heads.make(config_.detection_head, config_, channels, outputs()));
  }
  const auto masks = [&](std::int64_t count) {
    return kinds.segmentation_heads.make(config_.segmentation_head, config_, channels, count);
  };
  if (parts.segmentation) {
    segmentation_ = register_module("segmentation", masks(static_cast<std::int64_t>(map_labels(config_, kinds.labels).size())));
  }
  if (parts.foreground) {
    foreground_ = register_module("foreground", masks(config_.foreground_masks));
  }
}

std::vector<torch::Tensor> BevFusionImpl::branches(const ModelInput& input) {
  std::vector<torch::Tensor> maps;
  if (lidar_) {
    maps.push_back(lidar_->forward(input.clouds));
  }
  if (images_) {
    maps.push_back(lift_splat_->forward(images_->forward(input.images.flatten(0, 1)), input.geometry));
  }
  return maps;
}

torch::Tensor BevFusionImpl::fuse(const std::vector<torch::Tensor>& maps) {
  const torch::Tensor fused = fuser_->forward(maps);
  return bev_ ? bev_->forward(fused) : fused;
}

torch::Tensor BevFusionImpl::of_task(const torch::Tensor& shared, const std::string& task) {
  return bev_ ? shared : of_tasks_.at(task)->forward(shared);
}

std::vector<torch::Tensor> BevFusionImpl::last_shared(bool parallel) const {
  if (bev_) {
    return parallel ? bev_->both_last_shared() : std::vector<torch::Tensor>{bev_->last_shared()};
  }
  std::vector<torch::Tensor> layers = fuser_->last_layers();
  if (layers.empty()) {
    throw std::invalid_argument("model.fuser '" + config_.fuser +
                                "' has no layer, and with model.separate_bev the tasks share none behind it; set "
                                "calibration.surface to representation or all_shared");
  }
  return layers;
}

Detections BevFusionImpl::detect(const torch::Tensor& shared) {
  Detections said = detection_->forward(of_task(shared, "detection"));
  said.labels = detection_labels_;
  return said;
}

torch::Tensor BevFusionImpl::fusion_weight() const {
  const torch::Tensor weight = fuser_->fusion_weight();
  return weight.defined() || !bev_ ? weight : bev_->first_weight();
}

std::vector<BranchReader> BevFusionImpl::branch_readers() const {
  std::vector<BranchReader> readers = fuser_->branch_readers();
  for (BranchReader& reader : readers) {
    if (!reader.weight.defined() && bev_) {
      reader.weight = bev_->first_weight();
    }
  }
  return readers;
}

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
