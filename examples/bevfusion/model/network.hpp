// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/heads/fuller_det.hpp"
#include "bevfusion/model/bev_fusion.hpp"

namespace bevfusion {

/// What a network says of a batch; nothing where it has no such task.
struct Outputs {
  std::optional<Detections> detections;
  torch::Tensor segmentation;  ///< [B, map classes, cells, cells] logits
  torch::Tensor foreground;    ///< [B, masks, cells, cells] logits
};

/// The network of a run: one BevFusion for all tasks, or one tower for each task that shares nothing with the others.
class NetworkImpl : public torch::nn::Module {
 public:
  /// @param kinds  the parts that the config may name
  explicit NetworkImpl(const ModelConfig& config, const Kinds& kinds = bevfusion::kinds());

  const std::vector<BevFusion>& towers() const { return towers_; }
  const ModelConfig& config() const { return config_; }

  /// All tasks' outputs, as at inference.
  /// @param without  names of modalities ("lidar", "camera") whose BEV map is replaced by zeros before the fuser
  /// @throws std::invalid_argument for a name that is no branch of the network
  Outputs forward(const ModelInput& input, const std::vector<std::string>& without = {});

 private:
  ModelConfig config_;
  std::vector<BevFusion> towers_;
};
TORCH_MODULE(Network);

}  // namespace bevfusion
