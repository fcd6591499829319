// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <torch/nn.h>

namespace bevfusion {

/// A named range of a weight's input channels.
struct ChannelSlice {
  std::int64_t first = 0;
  std::int64_t count = 0;
};

/// The slices of maps whose channels stand one after the other.
inline std::vector<ChannelSlice> stacked(const std::vector<std::int64_t>& channels) {
  std::vector<ChannelSlice> slices;
  std::int64_t first = 0;
  for (const std::int64_t count : channels) {
    slices.push_back({first, count});
    first += count;
  }
  return slices;
}

/// What reads a branch first: input channels of a weight [out, in, ...].
struct BranchReader {
  torch::Tensor weight;  ///< undefined: the BEV backbone's first weight
  ChannelSlice channels;
};

/// What the windows of one branch's map read of another's, at one scale of an attention.
struct AttentionMap {
  std::size_t asking = 0;  ///< the branch whose windows ask, in the order of the branches
  std::size_t asked = 0;   ///< the branch whose windows are read
  std::int64_t side = 0;   ///< windows along a side of the map; x * side + y is the number of one
  torch::Tensor weights;   ///< [B, side^2, side^2]: of each asking window a row, the mean over the heads, which adds up to 1
};

/// What joins the branches' BEV maps. A fuser of another kind is another class of this kind, made by name.
///
/// It names theta^F of FULLER, the weights that read the branches first: the norms of their gradients are what gates and
/// gamma_modal (Eq. 4) are computed from. A fuser with one weight names it by fusion_weight() and fusion_slices(), in whatever
/// order it reads the branches; one with a weight for each branch overrides branch_readers().
class Fuser : public torch::nn::Module {
 public:
  /// @param maps  one [B, C_m, X, Y] for each branch, in the order of the constructor
  /// @return [B, channels(), X, Y]
  virtual torch::Tensor forward(const std::vector<torch::Tensor>& maps) = 0;
  virtual std::int64_t channels() const = 0;

  /// Where branches look at each other on these maps, scale by scale, for pictures: a pass of its own, in evaluation mode alone,
  /// so that forward() keeps nothing. Empty where no branch asks another.
  /// @throws std::logic_error in training mode
  virtual std::vector<AttentionMap> attention(const std::vector<torch::Tensor>& /*maps*/) { return {}; }

  /// The one weight that reads all branches first: [out, sum of C_m, kx, ky]. Undefined where the fuser has none: the BEV
  /// backbone's first one reads them then.
  virtual torch::Tensor fusion_weight() const { return {}; }
  /// The input channels of that weight that read each branch, in the order of the branches.
  virtual std::vector<ChannelSlice> fusion_slices() const { return {}; }

  /// What reads each branch first, in the order of the branches: fusion_weight() by fusion_slices(), unless overridden. Gates
  /// take one weight of all branches, whose channels the slices fill, or a weight for each branch, read by nothing else.
  virtual std::vector<BranchReader> branch_readers() const {
    std::vector<BranchReader> readers;
    for (const ChannelSlice& slice : fusion_slices()) {
      readers.push_back({fusion_weight(), slice});
    }
    return readers;
  }

  /// The weights that the fused map is the direct output of: the last layer that tasks share where each has a BEV backbone of its
  /// own. Nothing where the fuser has no layer.
  virtual std::vector<torch::Tensor> last_layers() const {
    return fusion_weight().defined() ? std::vector<torch::Tensor>{fusion_weight()} : std::vector<torch::Tensor>{};
  }
};

/// The whole of a weight [out, in, ...] as the reader of one branch.
inline BranchReader reads_alone(const torch::Tensor& weight) { return {weight, {0, weight.size(1)}}; }

}  // namespace bevfusion
