// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/fusion/bev_backbone.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// Widths of SECOND and its FPN. Defaults: the full model.
struct SecondOptions {
  std::int64_t inputs = 256;
  std::vector<std::int64_t> channels{128, 256};  ///< of the two blocks; the second halves the map
  std::int64_t layers = 5;                       ///< 3 x 3 blocks after the first of each block
  std::int64_t up = 256;                         ///< channels of each of the two upsampled maps
};

/// SECOND's two blocks and the FPN that brings both back to one resolution: the last shared layers.
class SecondImpl : public BevBackbone {
 public:
  explicit SecondImpl(SecondOptions options = {});

  /// @param map  [B, inputs, X, Y], X and Y even
  /// @return [B, 2 up, X, Y]: the shared representation
  torch::Tensor forward(const torch::Tensor& map) override;

  std::int64_t channels() const override { return 2 * options_.up; }
  torch::Tensor first_weight() const override;
  /// The weight of the FPN's deconvolution [C_2, up, 2, 2].
  torch::Tensor last_shared() const override { return deconv_->weight; }
  /// The same with the parallel 1 x 1 up-convolution, the FPN's other last layer.
  std::vector<torch::Tensor> both_last_shared() const override { return {same_->weight(), deconv_->weight}; }

 private:
  SecondOptions options_;
  torch::nn::Sequential fine_{nullptr}, coarse_{nullptr};
  ConvBlock same_{nullptr};
  torch::nn::ConvTranspose2d deconv_{nullptr};
  BatchNorm deconv_norm_{nullptr};
};
TORCH_MODULE(Second);

}  // namespace bevfusion
