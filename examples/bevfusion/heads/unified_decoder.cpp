// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/unified_decoder.hpp"

#include <memory>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/config/require.hpp"
#include "bevfusion/heads/object_queries.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/part_draws.hpp"
#include "bevfusion/model/part_numbers.hpp"

namespace bevfusion {
namespace {

constexpr double patch_width = 5;  // m, the least that is chosen

std::int64_t usual_side(const MaskGrid& mask) {
  std::int64_t side = 1;
  for (std::int64_t n = 1; n <= mask.cells; ++n) {
    if (mask.cells % n == 0 && 2 * mask.range / static_cast<double>(n) >= patch_width * (1 - 1e-9)) {
      side = n;
    }
  }
  return side;
}

torch::Tensor as_tokens(const torch::Tensor& channels_second) { return channels_second.permute({2, 0, 1}); }

}  // namespace

UnifiedDecoderOptions unified_options(const ModelConfig& config) {
  UnifiedDecoderOptions options;
  options.channels = config.detection.channels;
  options.heads = config.detection.heads;
  options.feed_forward = config.detection.feed_forward;
  options.dropout = config.detection.dropout;
  options.queries = config.detection.queries;
  options.score_bias = config.detection.score_bias;
  options.map_range = config.bev_range;
  options.mask = config.segmentation.mask;
  options.layers = whole_number_of(config, "unified.layers", options.layers, 1);
  options.side = whole_number_of(config, "unified.patches", usual_side(options.mask), 1);
  options.samples = whole_number_of(config, "unified.samples", options.samples, 1);
  require(options.mask.cells % options.side == 0, "model.numbers: unified.patches is ", options.side, ", and the masks have ",
          options.mask.cells, " cells along a side (model.segmentation.mask.cells), which ",
          "so many patches cannot share; a divisor of that is needed");
  require(options.channels % options.heads == 0, "model.detection.heads: ", options.channels, " channels cannot be shared by ",
          options.heads, " heads");
  return options;
}

torch::Tensor patch_centres(const UnifiedDecoderOptions& options, std::int64_t rows, std::int64_t columns,
                            const torch::TensorOptions& exact) {
  const double share = options.mask.range / options.map_range;
  // Shares of the mask's side, then of the map's, then cells.
  const torch::Tensor share_of_map =
      ((2 * (torch::arange(options.side, exact) + 0.5) / static_cast<double>(options.side) - 1) * share + 1) / 2;
  const torch::Tensor x = (share_of_map * static_cast<double>(rows)).view({-1, 1}).expand({options.side, options.side});
  const torch::Tensor y = (share_of_map * static_cast<double>(columns)).view({1, -1}).expand({options.side, options.side});
  return torch::stack({x, y}).flatten(1);
}

UnifiedDecoderImpl::UnifiedDecoderImpl(UnifiedDecoderOptions options, const QueriesAsked& asked)
    : options_(std::move(options)), asked_(asked) {
  using torch::nn::Conv1d;
  using torch::nn::Conv1dOptions;
  using torch::nn::Conv2d;
  using torch::nn::Conv2dOptions;
  const std::int64_t channels = options_.channels;
  const std::uint64_t key = drawn_key();  // whichever queries there are, the rest starts with the same weights
  begin_draws({key}, "all");
  project_ = register_module("project", Conv2d(Conv2dOptions(options_.inputs, channels, 3).padding(1)));
  self_position_ = register_module("self_position", position_code(channels));
  cross_position_ = register_module("cross_position", position_code(channels));
  for (std::int64_t k = 0; k < options_.layers; ++k) {
    layers_.push_back(register_module("layer" + std::to_string(k), DecoderLayer(options_)));
  }
  if (asked_.objects.classes > 0) {
    begin_draws({key}, "objects");
    heat_ = register_module("heat", heat_map_layers(channels, asked_.objects.classes, options_.score_bias));
    class_embedding_ = register_module("class_embedding", Conv1d(Conv1dOptions(asked_.objects.classes, channels, 1)));
  }
  if (asked_.patches) {
    begin_draws({key}, "patches");
    patch_embedding_ =
        register_module("patch_embedding", Conv2d(Conv2dOptions(channels, channels, options_.samples).stride(options_.samples)));
    patch_query_ = register_parameter("patch_query", torch::zeros({channels, options_.side * options_.side}));
    torch::nn::init::normal_(patch_query_, 0.0, 0.02);
  }
}

DecodedQueries UnifiedDecoderImpl::forward(const torch::Tensor& shared) {
  const std::int64_t batch = shared.size(0);
  const std::int64_t rows = shared.size(2);
  const std::int64_t columns = shared.size(3);
  const torch::Tensor features = project_->forward(shared);
  const torch::Tensor map = features.flatten(2);  // [B, C, cells]
  const auto exact = map.options().dtype(c10::promoteTypes(map.scalar_type(), torch::kFloat)).requires_grad(false);
  DecodedQueries out;
  std::vector<torch::Tensor> queries;
  std::vector<torch::Tensor> places;
  if (heat_) {
    out.heat_map = heat_->forward(features);
    const ObjectPlaces at = object_places(out.heat_map, options_.queries, asked_.objects.points, exact);
    out.centre = at.centre;
    out.query_class = at.query_class;
    out.query_score = at.query_score;
    queries.push_back(object_queries(map, at, asked_.objects.classes, class_embedding_));
    places.push_back(at.centre);
  }
  if (patch_embedding_) {
    const torch::Tensor read = resample(features, options_.map_range, {options_.mask.range, options_.side * options_.samples});
    queries.push_back(patch_embedding_->forward(read).flatten(2) + patch_query_);
    places.push_back(patch_centres(options_, rows, columns, exact).unsqueeze(0).expand({batch, 2, -1}));
  }
  torch::Tensor said = as_tokens(torch::cat(queries, 2));
  const torch::Tensor at = as_tokens(self_position_->forward(torch::cat(places, 2)));
  const torch::Tensor centres = cell_centres(rows, columns, exact);
  const torch::Tensor key_places =
      as_tokens(cross_position_->forward(centres.t().unsqueeze(0).expand({batch, 2, rows * columns})));
  for (DecoderLayer& layer : layers_) {
    said = layer->forward(said, at, as_tokens(map), key_places, /*position_in_values=*/true);
  }
  const torch::Tensor decoded = said.permute({1, 2, 0});  // [B, C, Q + P]
  const std::int64_t objects = heat_ ? out.centre.size(2) : 0;
  if (heat_) {
    out.objects = decoded.narrow(2, 0, objects);
  }
  if (patch_embedding_) {
    out.patches = decoded.narrow(2, objects, decoded.size(2) - objects);
  }
  return out;
}

std::vector<torch::Tensor> UnifiedDecoderImpl::last_shared() const { return {layers_.back()->last_weight(), project_->weight}; }

std::vector<torch::Tensor> UnifiedDecoderImpl::shared_parameters() const {
  std::vector<torch::Tensor> shared;
  for (const auto& parameter : named_parameters()) {
    if (parameter.key().rfind("heat.", 0) != 0) {
      shared.push_back(parameter.value());
    }
  }
  return shared;
}

void register_unified_decoder(Kinds& kinds) {
  kinds.decoders.add("unified", [](const ModelConfig& config, std::int64_t inputs, const QueriesAsked& asked) {
    UnifiedDecoderOptions options = unified_options(config);
    options.inputs = inputs;
    return std::make_shared<UnifiedDecoderImpl>(options, asked);
  });
}

}  // namespace bevfusion
