// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn.h>

namespace bevfusion {

/// A named range of a weight's input channels.
struct ChannelSlice {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// The slices of maps whose channels stand one behind the other.
inline std::vector<ChannelSlice> stacked(const std::vector<std::int64_t>& channels) {
  std::vector<ChannelSlice> slices;
  std::int64_t first = 0;
  for (const std::int64_t count : channels) {
    slices.push_back({first, count});
    first += count;
  }
  return slices;
}

/// What joins the branches' BEV maps. A fuser of another kind is another class of this kind, made by name.
class Fuser : public torch::nn::Module {
 public:
  /// @param maps  one [B, C_m, X, Y] for each branch, in the order of the constructor
  /// @return [B, channels(), X, Y]
  virtual torch::Tensor forward(const std::vector<torch::Tensor>& maps) = 0;
  virtual std::int64_t channels() const = 0;

  /// theta^F of FULLER, the weight of the first layer that reads the branches: [out, sum of C_m, kx, ky]. Undefined where the
  /// fuser has no layer, and the BEV backbone's first one reads them.
  virtual torch::Tensor fusion_weight() const = 0;
  /// The input channels of that weight that read each branch.
  virtual std::vector<ChannelSlice> fusion_slices() const = 0;
};

}  // namespace bevfusion
