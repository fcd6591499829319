// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/bev_fusion.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/part_draws.hpp"
#include "bevfusion/tasks/picture_task.hpp"
#include "bevfusion/tasks/shared_decoder.hpp"

namespace bevfusion {

BevFusionImpl::BevFusionImpl(ModelConfig config, const Kinds& kinds)
    : config_(std::move(config)), labels_(kinds.labels), known_(kinds.tasks), tasks_(kinds.tasks.of(config_)) {
  const auto looks = [](const auto& task) { return as_picture_task(*task) != nullptr; };
  reads_pictures_ = std::any_of(tasks_.begin(), tasks_.end(), looks);
  reads_map_ = tasks_.empty() || !std::all_of(tasks_.begin(), tasks_.end(), looks);
  const ModelParts& parts = config_.parts;
  if (!parts.lidar && !parts.camera) {
    throw std::invalid_argument("a model needs a branch: parts.lidar, parts.camera, or both");
  }
  if (reads_pictures_ && !parts.camera) {
    throw std::invalid_argument("a task that looks at pictures needs parts.camera");
  }
  const std::uint64_t key = drawn_key();
  make_branches(kinds, key);
  const std::int64_t channels = reads_map_ ? make_bev(kinds, key) : 0;
  const SharedDecoder decoder = shared_decoder(config_, kinds);
  query_readers_ = decoder.tasks;
  if (!decoder.kind.empty()) {
    begin_draws({key}, "decoder");
    decoder_ = register_module("decoder", kinds.decoders.make(decoder.kind, config_, channels, decoder.asked));
  }
  for (const auto& task : tasks_) {
    begin_draws({key}, task->name());
    const PictureTask* const of_pictures = as_picture_task(*task);
    const std::int64_t read = reads_queries(task->name()) ? decoder_->channels() : channels;
    heads_[task->name()] =
        register_module(task->name(), of_pictures != nullptr ? of_pictures->make_picture_head(config_, images_->levels())
                                                             : task->make_head(config_, kinds, read));
  }
  begin_draws({key}, "after");
}

void BevFusionImpl::make_branches(const Kinds& kinds, std::uint64_t key) {
  if (config_.parts.lidar && reads_map_) {
    begin_draws({key}, "lidar");
    lidar_ = register_module("lidar", kinds.lidar_backbones.make(config_.lidar_backbone, config_));
    modalities_.emplace_back("lidar");
    widths_.push_back(lidar_->channels());
  }
  if (config_.parts.camera) {
    begin_draws({key}, "images");
    images_ = register_module("images", kinds.image_backbones.make(config_.image_backbone, config_));
    modalities_.emplace_back("camera");
  }
  if (config_.parts.camera && reads_map_) {
    begin_draws({key}, "lift_splat");
    lift_splat_ = register_module("lift_splat", LiftSplat(images_->channels(), config_.lift_splat));
    widths_.push_back(config_.lift_splat.channels);
  }
}

std::int64_t BevFusionImpl::make_bev(const Kinds& kinds, std::uint64_t key) {
  begin_draws({key}, "fuser");
  fuser_ = register_module("fuser", kinds.fusers.make(config_.fuser, config_, widths_));
  const auto bev = [&](const std::string& name) {
    begin_draws({key}, "bev");  // backbones of several tasks start as the one of all would
    return register_module(name, kinds.bev_backbones.make(config_.bev_backbone, config_, fuser_->channels()));
  };
  std::int64_t channels = 0;
  if (!config_.separate_bev) {
    bev_ = bev("bev");
    return bev_->channels();
  }
  for (const auto& task : tasks_) {
    if (as_picture_task(*task) == nullptr) {
      channels = (of_tasks_[task->name()] = bev(task->name() + "_bev"))->channels();
    }
  }
  return channels;
}

std::vector<torch::Tensor> BevFusionImpl::branches(const ModelInput& input, const std::vector<std::string>& absent,
                                                   std::vector<torch::Tensor>* pictures) {
  for (const std::string& name : absent) {
    const bool not_needed = name == "lidar" && config_.parts.lidar;  // by tasks that look at pictures
    if (std::find(modalities_.begin(), modalities_.end(), name) == modalities_.end() && !not_needed) {
      throw std::invalid_argument("the network has no modality branch '" + name + "' to leave out");
    }
  }
  const auto there = [&absent](const char* name) { return std::find(absent.begin(), absent.end(), name) == absent.end(); };
  std::vector<torch::Tensor> maps;
  if (lidar_) {
    maps.push_back(there("lidar") ? lidar_->forward(input.clouds) : torch::Tensor());
  }
  if (pictures != nullptr) {
    pictures->clear();
  }
  torch::Tensor features;
  if (images_ && there("camera") && reads_pictures_ && pictures != nullptr) {
    for (const torch::Tensor& level : images_->forward_levels(input.images.flatten(0, 1))) {
      features = level;
      pictures->push_back(
          level.reshape({input.images.size(0), input.images.size(1), level.size(1), level.size(2), level.size(3)}));
    }
  } else if (lift_splat_ && there("camera")) {
    features = images_->forward(input.images.flatten(0, 1));
  }
  if (lift_splat_) {
    maps.push_back(there("camera") ? lift_splat_->forward(features, input.geometry) : torch::Tensor());
  }
  return maps;
}

std::vector<torch::Tensor> BevFusionImpl::dark_pictures(const ModelInput& input) const {
  std::vector<torch::Tensor> pictures;
  for (const ImageLevel& level : reads_pictures_ ? images_->levels() : std::vector<ImageLevel>()) {
    const torch::Tensor& images = input.images;
    pictures.push_back(torch::zeros(
        {images.size(0), images.size(1), level.channels, images.size(3) / level.stride, images.size(4) / level.stride},
        images.options()));
  }
  return pictures;
}

std::vector<torch::Tensor> BevFusionImpl::filled(std::vector<torch::Tensor> maps) const {
  if (!reads_map_) {
    return maps;
  }
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
  if (!reads_map_) {
    return {};
  }
  const torch::Tensor fused = fuser_->forward(maps);
  return bev_ ? bev_->forward(fused) : fused;
}

SharedFeatures BevFusionImpl::share(const std::vector<torch::Tensor>& maps, std::vector<torch::Tensor> pictures) {
  SharedFeatures shared(fuse(maps), std::move(pictures));
  if (decoder_) {
    shared.queries = decoder_->forward(shared.bev);
  }
  return shared;
}

bool BevFusionImpl::reads_queries(const std::string& task) const {
  return std::find(query_readers_.begin(), query_readers_.end(), task) != query_readers_.end();
}

torch::nn::Module& BevFusionImpl::head(const std::string& task) const {
  const auto found = heads_.find(task);
  if (found == heads_.end()) {
    throw std::invalid_argument("the model has no task '" + task + "' (model.parts." + task + ")");
  }
  return *found->second;
}

std::any BevFusionImpl::say(const std::string& task, const SharedFeatures& shared, const torch::Tensor& measured) {
  torch::nn::Module& of_task = head(task);
  const auto& known = known_.at(task);
  if (const PictureTask* const of_pictures = as_picture_task(*known)) {
    if (shared.pictures.empty()) {
      throw std::invalid_argument("task " + task + " looks at pictures, and was given the shared map alone; hand on what " +
                                  "branches() says of the pictures");
    }
    return of_pictures->forward_pictures(of_task, shared.pictures, config_);
  }
  if (reads_queries(task)) {
    if (!shared.queries.any()) {
      throw std::invalid_argument("task " + task +
                                  " reads a decoder's queries, and was given the shared map alone; hand on what " +
                                  "share() makes of the branches' maps");
    }
    return known->forward_queries(of_task, shared.queries, config_, labels_);
  }
  return known->forward_measured(of_task, bev_ ? shared.bev : of_tasks_.at(task)->forward(shared.bev), measured, config_,
                                 labels_);
}

std::vector<torch::Tensor> BevFusionImpl::losses(const std::string& task, const std::any& said, const TrainingBatch& batch,
                                                 const RunConfig& config) const {
  return known_.losses(*known_.at(task), head(task), said, batch, config);
}

std::vector<torch::Tensor> BevFusionImpl::last_shared(bool parallel) const {
  const auto on_map = std::count_if(tasks_.begin(), tasks_.end(), [](const auto& task) { return !as_picture_task(*task); });
  if (query_readers_.size() > 1 && static_cast<std::size_t>(on_map) == query_readers_.size()) {
    return decoder_->last_shared();
  }
  if (bev_) {
    return parallel ? bev_->both_last_shared() : std::vector<torch::Tensor>{bev_->last_shared()};
  }
  std::vector<torch::Tensor> layers = fuser_ ? fuser_->last_layers() : std::vector<torch::Tensor>();
  if (layers.empty()) {
    throw std::invalid_argument("model.fuser '" + config_.fuser +
                                "' has no layer, and with model.separate_bev the tasks share none after it; set "
                                "calibration.surface to representation or all_shared");
  }
  return layers;
}

std::vector<torch::Tensor> BevFusionImpl::last_shared_of_all(bool parallel) const {
  std::vector<torch::Tensor> layers = reads_map_ ? last_shared(parallel) : std::vector<torch::Tensor>();
  if (reads_pictures_) {
    layers.push_back(images_->last_weight());
    if (!layers.back().defined()) {
      throw std::invalid_argument("model.image_backbone '" + config_.image_backbone +
                                  "' names no last layer (ImageBackbone::last_weight), at which the task that looks at pictures "
                                  "could be compared; set calibration.surface to representation or all_shared");
    }
  }
  return layers;
}

std::vector<torch::Tensor> BevFusionImpl::decoder_parameters() const {
  return query_readers_.size() > 1 ? decoder_->shared_parameters() : std::vector<torch::Tensor>();
}

torch::Tensor BevFusionImpl::fusion_weight() const {
  const torch::Tensor weight = fuser_->fusion_weight();
  return weight.defined() || !bev_ ? weight : bev_->first_weight();
}

std::vector<BranchReader> BevFusionImpl::branch_readers() const {
  if (!fuser_) {
    throw std::invalid_argument("the network's tasks look at pictures alone: it fuses nothing, and has no branches to gate");
  }
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
  if (lift_splat_) {
    const std::vector<torch::Tensor> more = lift_splat_->parameters();
    parameters.insert(parameters.end(), more.begin(), more.end());
  }
  return parameters;
}

}  // namespace bevfusion
