// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/network.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/part_draws.hpp"

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
  const std::uint64_t key = drawn_key();
  for (const ModelParts& parts : towers) {
    begin_draws({key}, "tower");  // the same for each, so that a tower starts as the network of its task alone would
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

bool NetworkImpl::has_modality(const std::string& name) const {
  return std::any_of(towers_.begin(), towers_.end(), [&name](const BevFusion& tower) {
    const std::vector<std::string>& there = tower->modalities();
    return std::find(there.begin(), there.end(), name) != there.end();
  });
}

Outputs NetworkImpl::forward(const ModelInput& input, const std::vector<std::string>& without) {
  for (const std::string& name : without) {
    if (!has_modality(name)) {
      throw std::invalid_argument("the network has no modality branch '" + name + "' to leave out");
    }
  }
  Outputs outputs;
  for (BevFusion& tower : towers_) {
    std::vector<torch::Tensor> pictures;
    const std::vector<torch::Tensor> maps = tower->filled(tower->branches(input, without, &pictures));
    const SharedFeatures shared = tower->share(maps, pictures.empty() ? tower->dark_pictures(input) : std::move(pictures));
    for (const auto& task : tower->tasks()) {
      outputs[task->name()] = tower->say(task->name(), shared, input.measured_for(task->name()));
    }
  }
  return outputs;
}

}  // namespace bevfusion
