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
  for (const TaskSheet& task : config.parts.tasks.chosen()) {
    towers.push_back(config.parts);
    towers.back().tasks.keep_only(task.name);
  }
  return towers;
}

}  // namespace

NetworkImpl::NetworkImpl(const ModelConfig& config, const Kinds& kinds) : config_(config) {
  const std::vector<ModelParts> towers = tower_parts(config);
  for (const ModelParts& parts : towers) {
    ModelConfig of_tower = config;
    of_tower.parts = parts;
    const std::string name = towers.size() == 1 ? "model" : parts.tasks.chosen().front().name + "_tower";
    towers_.push_back(register_module(name, BevFusion(of_tower, kinds)));
  }
}

std::vector<std::shared_ptr<const Task>> NetworkImpl::tasks() const {
  std::vector<std::shared_ptr<const Task>> all;
  for (const BevFusion& tower : towers_) {
    all.insert(all.end(), tower->tasks().begin(), tower->tasks().end());
  }
  return all;
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
    for (const auto& task : tower->tasks()) {
      outputs[task->name()] = tower->say(task->name(), shared);
    }
  }
  return outputs;
}

}  // namespace bevfusion
