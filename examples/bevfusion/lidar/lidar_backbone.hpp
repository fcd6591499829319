// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn.h>

namespace bevfusion {

/// What turns point clouds into a BEV map. A backbone of another kind is another class of this kind, made by name.
class LidarBackbone : public torch::nn::Module {
 public:
  /// @param clouds  one [N_b, 5] float tensor a sample: x, y, z (m), intensity, seconds
  /// @return [B, channels(), X, Y], at the shared BEV map's resolution
  virtual torch::Tensor forward(const std::vector<torch::Tensor>& clouds) = 0;
  virtual std::int64_t channels() const = 0;
};

}  // namespace bevfusion
