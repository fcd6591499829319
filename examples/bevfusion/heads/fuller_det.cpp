// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/fuller_det.hpp"

#include <memory>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/heads/box_branches.hpp"
#include "bevfusion/heads/object_queries.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

FullerDetImpl::FullerDetImpl(FullerDetOptions options) : options_(std::move(options)) {
  using torch::nn::Conv1d;
  using torch::nn::Conv1dOptions;
  using torch::nn::Conv2d;
  using torch::nn::Conv2dOptions;
  const std::int64_t channels = options_.channels;
  shared_ = register_module("shared", Conv2d(Conv2dOptions(options_.inputs, channels, 3).padding(1)));
  heat_ = register_module("heat", heat_map_layers(channels, options_.classes, options_.score_bias));
  class_embedding_ = register_module("class_embedding", Conv1d(Conv1dOptions(options_.classes, channels, 1)));
  self_position_ = register_module("self_position", position_code(channels));
  cross_position_ = register_module("cross_position", position_code(channels));
  DecoderLayerOptions layer;
  layer.channels = channels;
  layer.heads = options_.heads;
  layer.feed_forward = options_.feed_forward;
  layer.dropout = options_.dropout;
  layer_ = register_module("layer", DecoderLayer(layer));
  for (const auto& [name, branch] : make_box_branches(channels, options_.branch, options_.classes, options_.score_bias)) {
    branches_.push_back(register_module(name, branch));
  }
}

torch::Tensor FullerDetImpl::peaks(const torch::Tensor& heat_map) const { return local_maxima(heat_map, options_.point_classes); }

Detections FullerDetImpl::forward(const torch::Tensor& shared) {
  const std::int64_t batch = shared.size(0);
  const std::int64_t rows = shared.size(2);
  const std::int64_t columns = shared.size(3);
  const std::int64_t cells = rows * columns;
  const torch::Tensor features = shared_->forward(shared);
  Detections out;
  out.heat_map = heat_->forward(features);

  const torch::Tensor map = features.flatten(2);  // [B, C, cells]
  const auto exact = map.options().dtype(c10::promoteTypes(map.scalar_type(), torch::kFloat)).requires_grad(false);
  const ObjectPlaces places = object_places(out.heat_map, options_.queries, options_.point_classes, exact);
  out.query_class = places.query_class;
  out.query_score = places.query_score;
  const torch::Tensor query = object_queries(map, places, options_.classes, class_embedding_);

  const auto tokens = [](const torch::Tensor& channels_second) { return channels_second.permute({2, 0, 1}); };
  const torch::Tensor centres = cell_centres(rows, columns, exact);
  const torch::Tensor key_places = cross_position_->forward(centres.t().unsqueeze(0).expand({batch, 2, cells}));
  const torch::Tensor decoded =
      layer_
          ->forward(tokens(query), tokens(self_position_->forward(places.centre)), tokens(map), tokens(key_places),
                    /*position_in_values=*/true)
          .permute({1, 2, 0});  // [B, C, Q]
  read_boxes(branches_, decoded, places.centre, out);
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
