// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/camera/image_backbone.hpp"
#include "bevfusion/camera/neck.hpp"

namespace bevfusion {

/// A network of stages with LSS's neck.
/// @tparam Network  holder of a module; forward(images, first) gives the maps at strides 8, 16 and 32, and in `first`, unless
/// that is null, the one at stride 4
template <class Network>
class PyramidBackbone final : public ImageBackbone {
 public:
  /// @param name      of the network in checkpoints
  /// @param channels  of its maps at strides 4, 8, 16 and 32
  /// @param out       channels of the neck
  PyramidBackbone(const std::string& name, Network network, const std::array<std::int64_t, 4>& channels, std::int64_t out)
      : channels_(out), channels_at_stride_4_(channels.front()) {
    network_ = register_module(name, std::move(network));
    neck_ = register_module("neck", Neck(std::vector<std::int64_t>(channels.begin() + 1, channels.end()), out));
  }

  torch::Tensor forward(const torch::Tensor& images) override { return neck_->forward(network_->forward(images)); }
  std::int64_t channels() const override { return channels_; }
  /// The network's map at stride 4, and the neck's at stride 8, which joins the others.
  std::vector<ImageLevel> levels() const override { return {{channels_at_stride_4_, 4}, {channels_, 8}}; }
  std::vector<torch::Tensor> forward_levels(const torch::Tensor& images) override {
    torch::Tensor first;
    const torch::Tensor map = neck_->forward(network_->forward(images, &first));
    return {first, map};
  }
  torch::Tensor last_weight() const override { return neck_->last_weight(); }

 private:
  std::int64_t channels_;
  std::int64_t channels_at_stride_4_;
  Network network_{nullptr};
  Neck neck_{nullptr};
};

}  // namespace bevfusion
