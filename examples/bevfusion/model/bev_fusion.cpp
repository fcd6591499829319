// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/bev_fusion.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/part_draws.hpp"

namespace bevfusion {

BevFusionImpl::BevFusionImpl(ModelConfig config, const Kinds& kinds)
    : config_(std::move(config)), labels_(kinds.labels), known_(kinds.tasks), tasks_(kinds.tasks.of(config_)) {
  const ModelParts& parts = config_.parts;
  if (!parts.lidar && !parts.camera) {
    throw std::invalid_argument("a model needs a branch: parts.lidar, parts.camera, or both");
  }
  const std::uint64_t key = drawn_key();
  if (parts.lidar) {
    begin_draws({key}, "lidar");
    lidar_ = register_module("lidar", kinds.lidar_backbones.make(config_.lidar_backbone, config_));
    modalities_.emplace_back("lidar");
    widths_.push_back(lidar_->channels());
  }
  if (parts.camera) {
    begin_draws({key}, "images");
    images_ = register_module("images", kinds.image_backbones.make(config_.image_backbone, config_));
    begin_draws({key}, "lift_splat");
    lift_splat_ = register_module("lift_splat", LiftSplat(images_->channels(), config_.lift_splat));
    modalities_.emplace_back("camera");
    widths_.push_back(config_.lift_splat.channels);
  }
  begin_draws({key}, "fuser");
  fuser_ = register_module("fuser", kinds.fusers.make(config_.fuser, config_, widths_));
  const auto bev = [&](const std::string& name) {
    begin_draws({key}, "bev");  // backbones of several tasks start as the one of all would
    return register_module(name, kinds.bev_backbones.make(config_.bev_backbone, config_, fuser_->channels()));
  };
  std::int64_t channels = 0;
  if (!config_.separate_bev) {
    bev_ = bev("bev");
    channels = bev_->channels();
  } else {
    for (const auto& task : tasks_) {
      channels = (of_tasks_[task->name()] = bev(task->name() + "_bev"))->channels();
    }
  }
  for (const auto& task : tasks_) {
    begin_draws({key}, task->name());
    heads_[task->name()] = register_module(task->name(), task->make_head(config_, kinds, channels));
  }
  begin_draws({key}, "after");
}

std::vector<torch::Tensor> BevFusionImpl::branches(const ModelInput& input, const std::vector<std::string>& absent) {
  for (const std::string& name : absent) {
    if (std::find(modalities_.begin(), modalities_.end(), name) == modalities_.end()) {
      throw std::invalid_argument("the network has no modality branch '" + name + "' to leave out");
    }
  }
  const auto there = [&absent](const char* name) { return std::find(absent.begin(), absent.end(), name) == absent.end(); };
  std::vector<torch::Tensor> maps;
  if (lidar_) {
    maps.push_back(there("lidar") ? lidar_->forward(input.clouds) : torch::Tensor());
  }
  if (images_) {
    maps.push_back(there("camera") ? lift_splat_->forward(images_->forward(input.images.flatten(0, 1)), input.geometry)
                                   : torch::Tensor());
  }
  return maps;
}

std::vector<torch::Tensor> BevFusionImpl::filled(std::vector<torch::Tensor> maps) const {
  const auto present = std::find_if(maps.begin(), maps.end(), [](const torch::Tensor& map) { return map.defined(); });
  if (present == maps.end()) {
    throw std::invalid_argument("all branches of the network are left out; one at least has to be there");
  }
  for (std::size_t m = 0; m < maps.size(); ++m) {
    if (!maps[m].defined()) {
      maps[m] = torch::zeros({present->size(0), widths_[m], present->size(2), present->size(3)}, present->options());
    }
  }
  return maps;
}

torch::Tensor BevFusionImpl::fuse(const std::vector<torch::Tensor>& maps) {
  const torch::Tensor fused = fuser_->forward(maps);
  return bev_ ? bev_->forward(fused) : fused;
}

torch::nn::Module& BevFusionImpl::head(const std::string& task) const {
  const auto found = heads_.find(task);
  if (found == heads_.end()) {
    throw std::invalid_argument("the model has no task '" + task + "' (model.parts." + task + ")");
  }
  return *found->second;
}

std::any BevFusionImpl::say(const std::string& task, const torch::Tensor& shared, const torch::Tensor& measured) {
  torch::nn::Module& of_task = head(task);
  return known_.at(task)->forward_measured(of_task, bev_ ? shared : of_tasks_.at(task)->forward(shared), measured, config_,
                                           labels_);
}

std::vector<torch::Tensor> BevFusionImpl::losses(const std::string& task, const std::any& said, const TrainingBatch& batch,
                                                 const RunConfig& config) const {
  return known_.losses(*known_.at(task), head(task), said, batch, config);
}

std::vector<torch::Tensor> BevFusionImpl::last_shared(bool parallel) const {
  if (bev_) {
    return parallel ? bev_->both_last_shared() : std::vector<torch::Tensor>{bev_->last_shared()};
  }
  std::vector<torch::Tensor> layers = fuser_->last_layers();
  if (layers.empty()) {
    throw std::invalid_argument("model.fuser '" + config_.fuser +
                                "' has no layer, and with model.separate_bev the tasks share none after it; set "
                                "calibration.surface to representation or all_shared");
  }
  return layers;
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
