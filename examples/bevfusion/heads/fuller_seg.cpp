// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/fuller_seg.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

torch::Tensor sine_positions(std::int64_t rows, std::int64_t columns, std::int64_t channels,
                             const torch::TensorOptions& options) {
  const std::int64_t half = channels / 2;
  const torch::Tensor pair = torch::div(torch::arange(half, options), 2, "floor");
  const torch::Tensor period = torch::pow(10000.0, 2 * pair / static_cast<double>(half));
  const auto code = [&](std::int64_t count) {
    const double turn = 2 * std::acos(-1.0);
    const torch::Tensor place = (torch::arange(count, options) + 1) / static_cast<double>(count) * turn;
    const torch::Tensor angle = place.unsqueeze(1) / period.unsqueeze(0);
    return torch::stack({angle.slice(1, 0, half, 2).sin(), angle.slice(1, 1, half, 2).cos()}, 2).flatten(1);  // [count, half]
  };
  const torch::Tensor down = code(rows).unsqueeze(1).expand({rows, columns, half});
  const torch::Tensor across = code(columns).unsqueeze(0).expand({rows, columns, half});
  return torch::cat({down, across}, 2).reshape({rows * columns, 1, 2 * half});
}

FullerSegImpl::FullerSegImpl(FullerSegOptions options) : options_(std::move(options)) {
  const std::int64_t channels = options_.channels;
  query_ = register_module("query", torch::nn::Linear(options_.classes, channels));
  project_ = register_module(
      "project",
      torch::nn::Conv2d(torch::nn::Conv2dOptions(options_.inputs, channels, options_.kernel).padding(options_.kernel / 2)));
  DecoderLayerOptions layer;
  layer.channels = channels;
  layer.heads = options_.heads;
  layer.feed_forward = options_.feed_forward;
  layer.dropout = options_.dropout;
  layer.self_attention = options_.self_attention;
  layer_ = register_module("layer", DecoderLayer(layer));
  embed_ = register_module("embed", torch::nn::Sequential(torch::nn::Linear(channels, channels), torch::nn::ReLU(),
                                                          torch::nn::Linear(channels, channels), torch::nn::ReLU(),
                                                          torch::nn::Linear(channels, channels)));
}

torch::Tensor FullerSegImpl::features(const torch::Tensor& shared) {
  if (options_.kernel == 1) {  // commutes with resampling, and is cheaper on the smaller map
    return resample(project_->forward(shared), options_.map_range, options_.mask);
  }
  if (!torch::GradMode::is_enabled() && shared.is_cpu()) {
    return features_in_strips(shared);
  }
  return project_->forward(resample(shared, options_.map_range, options_.mask));
}

/// Without gradients nobody keeps the resampled map, the largest tensor of the head: some rows of it at a time are made and
/// convolved, and stay in the cache between.
torch::Tensor FullerSegImpl::features_in_strips(const torch::Tensor& shared) const {
  constexpr std::int64_t strip = 1 << 21;  // numbers in one
  const std::int64_t cells = options_.mask.cells;
  const std::int64_t reach = options_.kernel / 2;
  const std::int64_t rows = std::clamp<std::int64_t>(strip / (shared.size(0) * shared.size(1) * cells), 1, cells);
  torch::Tensor features;
  for (std::int64_t first = 0; first < cells; first += rows) {
    const std::int64_t last = std::min(first + rows, cells);
    const torch::Tensor read = resample_rows(shared, options_.map_range, options_.mask, first - reach, last + reach);
    const torch::Tensor projected =
        torch::conv2d(read, project_->weight, project_->bias, /*stride=*/1, torch::IntArrayRef({0, reach}));
    if (!features.defined()) {
      features = torch::empty({shared.size(0), options_.channels, cells, cells}, projected.options());
    }
    features.narrow(2, first, last - first).copy_(projected);
  }
  return features;
}

torch::Tensor FullerSegImpl::forward(const torch::Tensor& shared) {
  const std::int64_t batch = shared.size(0);
  const torch::Tensor features = this->features(shared);
  const torch::Tensor keys = features.flatten(2).permute({2, 0, 1});  // [cells^2, B, C]
  // Reckoned in single precision at least: bfloat16 would give neighbouring cells one place.
  const auto exact = keys.options().dtype(c10::promoteTypes(keys.scalar_type(), torch::kFloat)).requires_grad(false);
  const torch::Tensor places =
      sine_positions(options_.mask.cells, options_.mask.cells, options_.channels, exact).to(keys.scalar_type());
  const torch::Tensor one_hot = torch::eye(options_.classes, shared.options().requires_grad(false));
  const torch::Tensor queries = query_->forward(one_hot).unsqueeze(1).expand({-1, batch, -1});
  const torch::Tensor decoded = layer_->forward(queries, torch::zeros_like(queries), keys, places, /*position_in_values=*/false);
  const torch::Tensor embedding = embed_->forward(decoded).permute({1, 0, 2});  // [B, classes, C]
  return torch::bmm(embedding, features.flatten(2)).view({batch, options_.classes, options_.mask.cells, options_.mask.cells});
}

void register_fuller_seg(Kinds& kinds) {
  kinds.segmentation_heads.add("fuller_seg", [](const ModelConfig& config, std::int64_t inputs, std::int64_t masks) {
    FullerSegOptions options = config.segmentation;
    options.inputs = inputs;
    options.classes = masks;
    return std::make_shared<FullerSegImpl>(options);
  });
}

}  // namespace bevfusion
