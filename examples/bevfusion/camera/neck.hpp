// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// LSS's feature pyramid: maps at strides 8, 16 and 32 in, one map at stride 8 out; or of as many others, two at least.
///
/// From map to map top-down: bilinear enlarging, concatenation with the finer map, a 1 x 1 and a 3 x 3 block.
class NeckImpl : public torch::nn::Module {
 public:
  /// @param in   channels of the maps, fine to coarse
  NeckImpl(const std::vector<std::int64_t>& in, std::int64_t out);
  torch::Tensor forward(const std::vector<torch::Tensor>& maps);
  const torch::Tensor& last_weight() const { return levels_.back().smooth->weight(); }

 private:
  struct Level {
    ConvBlock mix{nullptr}, smooth{nullptr};
  };
  std::vector<Level> levels_;  ///< coarse to fine
};
TORCH_MODULE(Neck);

}  // namespace bevfusion
