// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/network.hpp"

#include <algorithm>
#include <stdexcept>

#include <torch/torch.h>

namespace bevfusion {
namespace {

/// The parts of each tower.
std::vector<ModelParts> tower_parts(const ModelConfig& config) {
  if (!config.separate_towers) {
    return {config.parts};
  }
  std::vector<ModelParts> towers;
  for (const auto task : {&ModelParts::detection, &ModelParts::segmentation, &ModelParts::foreground}) {
    if (config.parts.*task) {
      ModelParts parts = config.parts;
      parts.detection = parts.segmentation = parts.foreground = false;
      parts.*task = true;
      towers.push_back(parts);
    }
  }
  return towers;
}

}  // namespace

NetworkImpl::NetworkImpl(const ModelConfig& config, const Kinds& kinds) : config_(config) {
  const std::vector<ModelParts> towers = tower_parts(config);
  for (const ModelParts& parts : towers) {
    ModelConfig of_tower = config;
    of_tower.parts = parts;
    const std::string name = towers.size() == 1   ? "model"
                             : parts.detection    ? "detection_tower"
                             : parts.segmentation ? "segmentation_tower"
                                                  : "foreground_tower";
    towers_.push_back(register_module(name, BevFusion(of_tower, kinds)));
  }
}

Outputs NetworkImpl::forward(const ModelInput& input, const std::vector<std::string>& without) {
  Outputs outputs;
  for (BevFusion& tower : towers_) {
    std::vector<torch::Tensor> maps = tower->branches(input);
    for (const std::string& name : without) {
      const auto& names = tower->modalities();
      const auto found = std::find(names.begin(), names.end(), name);
      if (found == names.end()) {
        throw std::invalid_argument("the network has no modality branch '" + name + "' to leave out");
      }
      torch::Tensor& map = maps[static_cast<std::size_t>(found - names.begin())];
      map = torch::zeros_like(map);
    }
    const torch::Tensor shared = tower->fuse(maps);
    const ModelParts& parts = tower->config().parts;
    if (parts.detection) {
      outputs.detections = tower->detect(shared);
    }
    if (parts.segmentation) {
      outputs.segmentation = tower->segment(shared);
    }
    if (parts.foreground) {
      outputs.foreground = tower->segment_foreground(shared);
    }
  }
  return outputs;
}

}  // namespace bevfusion
