// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "bevfusion/heads/attention_layer.hpp"
#include "bevfusion/heads/mask_grid.hpp"
#include "bevfusion/heads/segmentation_head.hpp"

namespace bevfusion {

/// Widths of Fuller-seg. Defaults: the full model.
struct FullerSegOptions {
  std::int64_t inputs = 512;
  std::int64_t channels = 256;
  std::int64_t classes = 6;
  std::int64_t kernel = 3;  ///< of the "1-d conv" of FULLER's Eq. 4: 3 fits the published parameter count, 1 its name
  std::int64_t feed_forward = 1536;
  std::int64_t heads = 8;
  double dropout = 0.1;  ///< of the decoder layer
  bool self_attention = true;
  double map_range = 51.2;  ///< metres that the shared representation covers to each side
  MaskGrid mask;
};

/// Map segmentation by class queries: query m is class m, its mask the product of its embedding and the features.
class FullerSegImpl : public SegmentationHead {
 public:
  explicit FullerSegImpl(FullerSegOptions options = {});

  /// @param shared  [B, inputs, X, Y]
  /// @return logits [B, classes, cells, cells]
  torch::Tensor forward(const torch::Tensor& shared) override;

 private:
  /// The shared representation at the mask's cells, projected: [B, channels, cells, cells].
  torch::Tensor features(const torch::Tensor& shared);
  torch::Tensor features_in_strips(const torch::Tensor& shared) const;

  FullerSegOptions options_;
  torch::nn::Linear query_{nullptr};
  torch::nn::Conv2d project_{nullptr};
  DecoderLayer layer_{nullptr};
  torch::nn::Sequential embed_{nullptr};
};
TORCH_MODULE(FullerSeg);

/// Fixed sine codes of the cells of an X x Y map: [X Y, 1, C], C a multiple of 4.
torch::Tensor sine_positions(std::int64_t rows, std::int64_t columns, std::int64_t channels, const torch::TensorOptions& options);

}  // namespace bevfusion
