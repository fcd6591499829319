// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/swin.hpp"

#include <cmath>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/camera/drop_path.hpp"
#include "bevfusion/model/layer_norm.hpp"

namespace bevfusion {
namespace {

torch::nn::LayerNorm layer_norm(std::int64_t channels) { return torch::nn::LayerNorm(torch::nn::LayerNormOptions({channels})); }

/// The module's product with its bias added in it: the C++ frontend's forward() adds it to all but matrices in a pass of its own.
torch::Tensor linear(const torch::nn::Linear& of, const torch::Tensor& tokens) {
  return torch::linear(tokens, of->weight, of->bias);
}

/// [B, H, W, C] cut into windows: [B H/w W/w, w^2, C].
torch::Tensor to_windows(const torch::Tensor& tokens, std::int64_t window) {
  const std::int64_t rows = tokens.size(1) / window;
  const std::int64_t columns = tokens.size(2) / window;
  return tokens.view({tokens.size(0), rows, window, columns, window, tokens.size(3)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, window * window, tokens.size(3)});
}

torch::Tensor from_windows(const torch::Tensor& windows, std::int64_t window, std::int64_t height, std::int64_t width) {
  const std::int64_t rows = height / window;
  const std::int64_t columns = width / window;
  return windows.view({-1, rows, columns, window, window, windows.size(2)})
      .permute({0, 1, 3, 2, 4, 5})
      .reshape({-1, height, width, windows.size(2)});
}

/// Which stretch of a side each of its tokens belongs to once it was rolled by `shift`: those that the roll wrapped round lie in
/// one window with others, and are no neighbours of theirs. [side]
torch::Tensor stretches(std::int64_t side, std::int64_t window, std::int64_t shift, const torch::TensorOptions& options) {
  torch::Tensor stretch = torch::zeros({side}, options);
  if (shift > 0) {
    stretch.slice(0, side - window, side - shift).fill_(1);
    stretch.slice(0, side - shift).fill_(2);
  }
  return stretch;
}

/// 0 where two tokens of a shifted window are neighbours in the picture, -100 where the shift wrapped one of them round.
torch::Tensor shift_mask(std::int64_t height, std::int64_t width, std::int64_t window, std::int64_t shift_down,
                         std::int64_t shift_across, const torch::TensorOptions& options) {
  const torch::Tensor region = 3 * stretches(height, window, shift_down, options).view({1, height, 1, 1}) +
                               stretches(width, window, shift_across, options).view({1, 1, width, 1});
  const torch::Tensor of_window = to_windows(region, window).squeeze(2);
  return (of_window.unsqueeze(1) != of_window.unsqueeze(2)).to(options.dtype()) * -100.0;
}

/// For each pair of tokens in a window, which row of the table their offset has: [w^4].
torch::Tensor relative_position_index(std::int64_t window) {
  const torch::Tensor side = torch::arange(window, torch::kLong);
  const torch::Tensor rows = side.repeat_interleave(window);
  const torch::Tensor columns = side.repeat({window});
  const torch::Tensor down = rows.unsqueeze(1) - rows.unsqueeze(0) + window - 1;
  const torch::Tensor across = columns.unsqueeze(1) - columns.unsqueeze(0) + window - 1;
  return (down * (2 * window - 1) + across).flatten();
}

}  // namespace

WindowAttentionImpl::WindowAttentionImpl(std::int64_t channels, std::int64_t heads, std::int64_t window) : heads_(heads) {
  qkv_ = register_module("qkv", torch::nn::Linear(channels, 3 * channels));
  project_ = register_module("project", torch::nn::Linear(channels, channels));
  const std::int64_t offsets = (2 * window - 1) * (2 * window - 1);
  bias_table_ = register_parameter("bias_table", torch::empty({offsets, heads}));
  torch::nn::init::normal_(bias_table_, 0.0, 0.02);
  bias_index_ = register_buffer("bias_index", relative_position_index(window));
}

torch::Tensor WindowAttentionImpl::forward(const torch::Tensor& windows, const torch::Tensor& mask) {
  const std::int64_t count = windows.size(0);
  const std::int64_t tokens = windows.size(1);
  const std::int64_t channels = windows.size(2);
  const torch::Tensor qkv = linear(qkv_, windows).view({count, tokens, 3, heads_, channels / heads_}).permute({2, 0, 3, 1, 4});
  const double scale = 1.0 / std::sqrt(static_cast<double>(channels / heads_));
  torch::Tensor scores = torch::matmul(qkv[0] * scale, qkv[1].transpose(2, 3));
  scores = scores + bias_table_.index_select(0, bias_index_).view({tokens, tokens, heads_}).permute({2, 0, 1}).unsqueeze(0);
  if (mask.defined()) {
    const std::int64_t kinds = mask.size(0);
    scores = (scores.view({count / kinds, kinds, heads_, tokens, tokens}) + mask.unsqueeze(1).unsqueeze(0)).view_as(scores);
  }
  const torch::Tensor mixed = torch::matmul(scores.softmax(3), qkv[2]).transpose(1, 2).reshape({count, tokens, channels});
  return linear(project_, mixed);
}

SwinBlockImpl::SwinBlockImpl(std::int64_t channels, std::int64_t heads, const SwinOptions& options, bool shifted,
                             double drop_path)
    : window_(options.window), shift_(shifted ? options.window / 2 : 0), drop_path_(drop_path) {
  norm1_ = register_module("norm1", layer_norm(channels));
  attention_ = register_module("attention", WindowAttention(channels, heads, options.window));
  norm2_ = register_module("norm2", layer_norm(channels));
  widen_ = register_module("widen", torch::nn::Linear(channels, options.mlp_ratio * channels));
  narrow_ = register_module("narrow", torch::nn::Linear(options.mlp_ratio * channels, channels));
}

torch::Tensor SwinBlockImpl::attend(const torch::Tensor& tokens) {
  const std::int64_t height = tokens.size(1);
  const std::int64_t width = tokens.size(2);
  const std::int64_t below = (window_ - height % window_) % window_;
  const std::int64_t right = (window_ - width % window_) % window_;
  torch::Tensor padded = torch::constant_pad_nd(tokens, {0, 0, 0, right, 0, below});
  // Along a side that one window covers, a shift would only hide tokens from each other.
  const std::int64_t down = height + below > window_ ? shift_ : 0;
  const std::int64_t across = width + right > window_ ? shift_ : 0;
  torch::Tensor mask;
  if (down > 0 || across > 0) {
    padded = padded.roll({-down, -across}, {1, 2});
    mask = shift_mask(height + below, width + right, window_, down, across, padded.options().requires_grad(false));
  }
  torch::Tensor mixed =
      from_windows(attention_->forward(to_windows(padded, window_), mask), window_, height + below, width + right);
  if (mask.defined()) {
    mixed = mixed.roll({down, across}, {1, 2});
  }
  return mixed.slice(1, 0, height).slice(2, 0, width);
}

torch::Tensor SwinBlockImpl::drop_path(const torch::Tensor& branch) {
  return is_training() && drop_path_ > 0 ? bevfusion::drop_path(branch, drop_path_) : branch;
}

torch::Tensor SwinBlockImpl::forward(const torch::Tensor& tokens) {
  const torch::Tensor attended = tokens + drop_path(attend(normalised(norm1_, tokens)));
  return attended + drop_path(linear(narrow_, torch::gelu(linear(widen_, normalised(norm2_, attended)))));
}

SwinImpl::SwinImpl(SwinOptions options) : options_(std::move(options)) {
  patches_ = register_module(
      "patches", torch::nn::Conv2d(torch::nn::Conv2dOptions(3, options_.embedding, options_.patch).stride(options_.patch)));
  patch_norm_ = register_module("patch_norm", layer_norm(options_.embedding));
  std::int64_t blocks = 0;
  for (const std::int64_t depth : options_.depths) {
    blocks += depth;
  }
  std::int64_t before = 0;
  std::int64_t channels = options_.embedding;
  for (std::size_t stage = 0; stage < options_.depths.size(); ++stage) {
    const std::string name = "stage" + std::to_string(stage + 1);
    if (stage > 0) {
      merge_norms_.push_back(register_module(name + "_merge_norm", layer_norm(4 * channels)));
      merges_.push_back(
          register_module(name + "_merge", torch::nn::Linear(torch::nn::LinearOptions(4 * channels, 2 * channels).bias(false))));
      channels *= 2;
    }
    auto& of_stage = stages_.emplace_back();
    for (std::int64_t block = 0; block < options_.depths[stage]; ++block, ++before) {
      const double drop = blocks > 1 ? options_.drop_path * static_cast<double>(before) / static_cast<double>(blocks - 1) : 0.0;
      of_stage.push_back(register_module(name + "_block" + std::to_string(block + 1),
                                         SwinBlock(channels, options_.heads[stage], options_, block % 2 == 1, drop)));
    }
    if (stage > 0) {
      output_norms_.push_back(register_module(name + "_norm", layer_norm(channels)));
    }
  }
  for (auto& module : modules(/*include_self=*/false)) {
    if (auto* linear = module->as<torch::nn::Linear>()) {
      torch::nn::init::normal_(linear->weight, 0.0, 0.02);
      if (linear->bias.defined()) {
        torch::nn::init::zeros_(linear->bias);
      }
    }
  }
}

std::vector<torch::Tensor> SwinImpl::forward(const torch::Tensor& images, torch::Tensor* first) {
  torch::Tensor tokens = normalised(patch_norm_, patches_->forward(images).permute({0, 2, 3, 1}));
  std::vector<torch::Tensor> maps;
  for (std::size_t stage = 0; stage < stages_.size(); ++stage) {
    if (stage > 0) {
      tokens = torch::constant_pad_nd(tokens, {0, 0, 0, tokens.size(2) % 2, 0, tokens.size(1) % 2});
      const auto quarter = [&](std::int64_t row, std::int64_t column) {
        return tokens.slice(1, row, tokens.size(1), 2).slice(2, column, tokens.size(2), 2);
      };
      const torch::Tensor four = torch::cat({quarter(0, 0), quarter(1, 0), quarter(0, 1), quarter(1, 1)}, 3);
      tokens = linear(merges_[stage - 1], normalised(merge_norms_[stage - 1], four));
    }
    for (auto& block : stages_[stage]) {
      tokens = block->forward(tokens);
    }
    if (stage == 0 && first != nullptr) {
      *first = tokens.permute({0, 3, 1, 2}).contiguous();
    }
    if (stage > 0) {
      maps.push_back(normalised(output_norms_[stage - 1], tokens).permute({0, 3, 1, 2}).contiguous());
    }
  }
  return maps;
}

}  // namespace bevfusion
