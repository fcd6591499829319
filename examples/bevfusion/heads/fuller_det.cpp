// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/fuller_det.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/kinds.hpp"

namespace bevfusion {
namespace {

/// Centres of the cells of an X x Y map, in cells: [X Y, 2].
torch::Tensor cell_centres(std::int64_t rows, std::int64_t columns, const torch::TensorOptions& options) {
  const torch::Tensor x = (torch::arange(rows, options) + 0.5).view({-1, 1}).expand({rows, columns});
  const torch::Tensor y = (torch::arange(columns, options) + 0.5).view({1, -1}).expand({rows, columns});
  return torch::stack({x, y}, 2).view({-1, 2});
}

}  // namespace

FullerDetImpl::FullerDetImpl(FullerDetOptions options) : options_(std::move(options)) {
  using torch::nn::Conv1d;
  using torch::nn::Conv1dOptions;
  using torch::nn::Conv2d;
  using torch::nn::Conv2dOptions;
  const std::int64_t channels = options_.channels;
  shared_ = register_module("shared", Conv2d(Conv2dOptions(options_.inputs, channels, 3).padding(1)));
  Conv2d heat(Conv2dOptions(channels, options_.classes, 3).padding(1));
  torch::nn::init::constant_(heat->bias, options_.score_bias);
  heat_ = register_module("heat", torch::nn::Sequential(ConvBlock(channels, channels), heat));
  class_embedding_ = register_module("class_embedding", Conv1d(Conv1dOptions(options_.classes, channels, 1)));
  self_position_ = register_module("self_position", position_code());
  cross_position_ = register_module("cross_position", position_code());
  DecoderLayerOptions layer;
  layer.channels = channels;
  layer.heads = options_.heads;
  layer.feed_forward = options_.feed_forward;
  layer.dropout = options_.dropout;
  layer_ = register_module("layer", DecoderLayer(layer));
  const std::pair<const char*, std::int64_t> branches[] = {{"centre", 2},  {"height", 1},   {"size", 3},
                                                           {"heading", 2}, {"velocity", 2}, {"class", options_.classes}};
  for (const auto& [name, outputs] : branches) {
    torch::nn::Sequential branch(Conv1d(Conv1dOptions(channels, options_.branch, 1).bias(false)), BatchNorm(options_.branch),
                                 torch::nn::ReLU(), Conv1d(Conv1dOptions(options_.branch, outputs, 1)));
    branches_.push_back(register_module(name, branch));
  }
  torch::nn::init::constant_(branches_.back()[3]->as<torch::nn::Conv1d>()->bias, options_.score_bias);
}

torch::nn::Sequential FullerDetImpl::position_code() {
  using torch::nn::Conv1d;
  using torch::nn::Conv1dOptions;
  const std::int64_t channels = options_.channels;
  return torch::nn::Sequential(Conv1d(Conv1dOptions(2, channels, 1)), BatchNorm(channels), torch::nn::ReLU(),
                               Conv1d(Conv1dOptions(channels, channels, 1)));
}

torch::Tensor FullerDetImpl::peaks(const torch::Tensor& heat_map) const {
  const torch::NoGradGuard no_grad;
  const torch::Tensor heat = heat_map.detach().sigmoid();
  const std::int64_t rows = heat.size(2);
  const std::int64_t columns = heat.size(3);
  // The maximum is written into the interior only, so that a border cell of these classes never is its own maximum.
  torch::Tensor highest = torch::zeros_like(heat);
  highest.narrow(2, 1, rows - 2).narrow(3, 1, columns - 2).copy_(torch::max_pool2d(heat, 3, 1));
  for (const std::int64_t point : options_.point_classes) {
    if (point < options_.classes) {
      highest.select(1, point).copy_(heat.select(1, point));
    }
  }
  return torch::where(heat == highest, heat, torch::zeros_like(heat));
}

Detections FullerDetImpl::forward(const torch::Tensor& shared) {
  const std::int64_t batch = shared.size(0);
  const std::int64_t rows = shared.size(2);
  const std::int64_t columns = shared.size(3);
  const std::int64_t cells = rows * columns;
  const torch::Tensor features = shared_->forward(shared);
  Detections out;
  out.heat_map = heat_->forward(features);

  const torch::Tensor peak = peaks(out.heat_map).view({batch, options_.classes * cells});
  const torch::Tensor chosen = std::get<1>(peak.topk(std::min(options_.queries, peak.size(1)), 1));  // [B, Q]
  out.query_class = torch::div(chosen, cells, "floor");
  const torch::Tensor cell = chosen.remainder(cells);
  const std::int64_t queries = cell.size(1);

  const torch::Tensor map = features.flatten(2);  // [B, C, cells]
  const torch::Tensor at_cell = cell.unsqueeze(1).expand({batch, map.size(1), queries});
  const torch::Tensor one_hot =
      torch::one_hot(out.query_class, options_.classes).transpose(1, 2).to(map.scalar_type());  // [B, classes, Q]
  const torch::Tensor query = map.gather(2, at_cell) + class_embedding_->forward(one_hot);
  // In single precision at least: bfloat16 tells places beyond 64 cells no nearer than half a cell.
  const auto exact = map.options().dtype(c10::promoteTypes(map.scalar_type(), torch::kFloat)).requires_grad(false);
  const torch::Tensor centres = cell_centres(rows, columns, exact);
  const torch::Tensor query_centre = centres.index_select(0, cell.flatten()).view({batch, queries, 2}).transpose(1, 2);
  out.query_score =
      peak.view({batch, options_.classes, cells}).gather(2, cell.unsqueeze(1).expand({batch, options_.classes, queries}));

  const auto tokens = [](const torch::Tensor& channels_second) { return channels_second.permute({2, 0, 1}); };
  const torch::Tensor key_places = cross_position_->forward(centres.t().unsqueeze(0).expand({batch, 2, cells}));
  const torch::Tensor decoded =
      layer_
          ->forward(tokens(query), tokens(self_position_->forward(query_centre)), tokens(map), tokens(key_places),
                    /*position_in_values=*/true)
          .permute({1, 2, 0});  // [B, C, Q]
  out.centre = branches_[0]->forward(decoded) + query_centre;
  out.height = branches_[1]->forward(decoded);
  out.size = branches_[2]->forward(decoded);
  out.heading = branches_[3]->forward(decoded);
  out.velocity = branches_[4]->forward(decoded);
  out.class_logits = branches_[5]->forward(decoded);
  return out;
}

void register_fuller_det(Kinds& kinds) {
  kinds.detection_heads.add("fuller_det", [](const ModelConfig& config, std::int64_t inputs, const DetectionOutputs& outputs) {
    FullerDetOptions options = config.detection;
    options.inputs = inputs;
    options.classes = outputs.classes;
    options.point_classes = outputs.points;
    return std::make_shared<FullerDetImpl>(options);
  });
}

}  // namespace bevfusion
