// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn.h>

namespace bevfusion {

/// Widths and depths of a Swin transformer. Defaults: Swin-T.
struct SwinOptions {
  std::int64_t embedding = 96;  ///< channels of the first stage; each later one doubles them
  std::vector<std::int64_t> depths{2, 2, 6, 2};
  std::vector<std::int64_t> heads{3, 6, 12, 24};
  std::int64_t window = 7;
  std::int64_t patch = 4;
  std::int64_t mlp_ratio = 4;
  double drop_path = 0.2;  ///< of the last block; rises linearly from 0
};

/// Attention within windows of tokens, with a learnt bias by relative position.
class WindowAttentionImpl : public torch::nn::Module {
 public:
  WindowAttentionImpl(std::int64_t channels, std::int64_t heads, std::int64_t window);

  /// @param windows  [B W, window^2, C]
  /// @param mask     [W, window^2, window^2], 0 or very negative, or undefined
  torch::Tensor forward(const torch::Tensor& windows, const torch::Tensor& mask);

 private:
  std::int64_t heads_;
  torch::nn::Linear qkv_{nullptr}, project_{nullptr};
  torch::Tensor bias_table_;  ///< [(2 window - 1)^2, heads]
  torch::Tensor bias_index_;  ///< [window^4]
};
TORCH_MODULE(WindowAttention);

/// One block: (shifted) window attention and an MLP, each after a LayerNorm and beside a residual.
class SwinBlockImpl : public torch::nn::Module {
 public:
  SwinBlockImpl(std::int64_t channels, std::int64_t heads, const SwinOptions& options, bool shifted, double drop_path);

  /// @param tokens  [B, H, W, C]
  torch::Tensor forward(const torch::Tensor& tokens);

 private:
  torch::Tensor attend(const torch::Tensor& tokens);
  torch::Tensor drop_path(const torch::Tensor& branch);

  std::int64_t window_, shift_;
  double drop_path_;
  torch::nn::LayerNorm norm1_{nullptr}, norm2_{nullptr};
  WindowAttention attention_{nullptr};
  torch::nn::Linear widen_{nullptr}, narrow_{nullptr};
};
TORCH_MODULE(SwinBlock);

/// Swin transformer: images in, the normalised maps of stages 2, 3 and 4 out (strides 8, 16 and 32).
///
/// Sides that are no multiple of the window are padded after the norm; shifted windows are masked where they wrap round. Along a
/// side that is no larger than the window nothing is shifted, as in torchvision.
class SwinImpl : public torch::nn::Module {
 public:
  explicit SwinImpl(SwinOptions options = {});

  /// @param images  [B, 3, H, W]
  /// @return [B, 2E, H/8, W/8], [B, 4E, H/16, W/16], [B, 8E, H/32, W/32]
  /// @param first  where given, becomes the first stage's map [B, E, H/4, W/4], not normalised
  std::vector<torch::Tensor> forward(const torch::Tensor& images, torch::Tensor* first = nullptr);

 private:
  SwinOptions options_;
  torch::nn::Conv2d patches_{nullptr};
  torch::nn::LayerNorm patch_norm_{nullptr};
  std::vector<std::vector<SwinBlock>> stages_;
  std::vector<torch::nn::LayerNorm> merge_norms_;
  std::vector<torch::nn::Linear> merges_;
  std::vector<torch::nn::LayerNorm> output_norms_;
};
TORCH_MODULE(Swin);

}  // namespace bevfusion
