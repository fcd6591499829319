// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/model/bev_fusion.hpp"

namespace bevfusion {

/// What a network says of a batch, by the names of its tasks; see Task::forward().
using Outputs = std::map<std::string, std::any>;

/// The network of a run: one BevFusion for all tasks, or one tower for each task that shares nothing with the others.
class NetworkImpl : public torch::nn::Module {
 public:
  /// @param kinds  the parts that the config may name
  explicit NetworkImpl(const ModelConfig& config, const Kinds& kinds = bevfusion::kinds());

  const std::vector<BevFusion>& towers() const { return towers_; }
  const ModelConfig& config() const { return config_; }
  /// The tasks of all towers.
  std::vector<std::shared_ptr<const Task>> tasks() const;
  /// Whether a tower has a branch of that name.
  bool has_modality(const std::string& name) const;

  /// All tasks' outputs, as at inference.
  /// @param without  names of modalities ("lidar", "camera") whose BEV map is replaced by zeros before the fuser; "camera" also
  ///                 the maps that tasks which look at pictures read
  /// @throws std::invalid_argument for a name that is no branch of any tower
  Outputs forward(const ModelInput& input, const std::vector<std::string>& without = {});

 private:
  ModelConfig config_;
  std::vector<BevFusion> towers_;
};
TORCH_MODULE(Network);

}  // namespace bevfusion
