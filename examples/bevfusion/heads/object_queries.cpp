// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/object_queries.hpp"

#include <algorithm>

#include <torch/torch.h>

#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

using torch::nn::Conv1d;
using torch::nn::Conv1dOptions;
using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;

torch::Tensor cell_centres(std::int64_t rows, std::int64_t columns, const torch::TensorOptions& options) {
  const torch::Tensor x = (torch::arange(rows, options) + 0.5).view({-1, 1}).expand({rows, columns});
  const torch::Tensor y = (torch::arange(columns, options) + 0.5).view({1, -1}).expand({rows, columns});
  return torch::stack({x, y}, 2).view({-1, 2});
}

torch::Tensor local_maxima(const torch::Tensor& heat_map, const std::vector<std::int64_t>& point_classes) {
  const torch::NoGradGuard no_grad;
  const torch::Tensor heat = heat_map.detach().sigmoid();
  const std::int64_t rows = heat.size(2);
  const std::int64_t columns = heat.size(3);
  // The maximum is written into the interior only, so that a border cell of these classes never is its own maximum.
  torch::Tensor highest = torch::zeros_like(heat);
  highest.narrow(2, 1, rows - 2).narrow(3, 1, columns - 2).copy_(torch::max_pool2d(heat, 3, 1));
  for (const std::int64_t point : point_classes) {
    if (point < heat.size(1)) {
      highest.select(1, point).copy_(heat.select(1, point));
    }
  }
  return torch::where(heat == highest, heat, torch::zeros_like(heat));
}

ObjectPlaces object_places(const torch::Tensor& heat_map, std::int64_t queries, const std::vector<std::int64_t>& point_classes,
                           const torch::TensorOptions& exact) {
  const std::int64_t batch = heat_map.size(0);
  const std::int64_t classes = heat_map.size(1);
  const std::int64_t cells = heat_map.size(2) * heat_map.size(3);
  const torch::Tensor peak = local_maxima(heat_map, point_classes).view({batch, classes * cells});
  const torch::Tensor chosen = std::get<1>(peak.topk(std::min(queries, peak.size(1)), 1));  // [B, Q]
  ObjectPlaces places;
  places.query_class = torch::div(chosen, cells, "floor");
  places.cell = chosen.remainder(cells);
  const std::int64_t found = chosen.size(1);
  places.centre = cell_centres(heat_map.size(2), heat_map.size(3), exact)
                      .index_select(0, places.cell.flatten())
                      .view({batch, found, 2})
                      .transpose(1, 2);
  places.query_score = peak.view({batch, classes, cells}).gather(2, places.cell.unsqueeze(1).expand({batch, classes, found}));
  return places;
}

torch::Tensor object_queries(const torch::Tensor& map, const ObjectPlaces& places, std::int64_t classes,
                             Conv1d& class_embedding) {
  const torch::Tensor at_cell = places.cell.unsqueeze(1).expand({map.size(0), map.size(1), places.cell.size(1)});
  const torch::Tensor one_hot =
      torch::one_hot(places.query_class, classes).transpose(1, 2).to(map.scalar_type());  // [B, classes, Q]
  return map.gather(2, at_cell) + class_embedding->forward(one_hot);
}

torch::nn::Sequential heat_map_layers(std::int64_t channels, std::int64_t classes, double score_bias) {
  Conv2d heat(Conv2dOptions(channels, classes, 3).padding(1));
  torch::nn::init::constant_(heat->bias, score_bias);
  return torch::nn::Sequential(ConvBlock(channels, channels), heat);
}

torch::nn::Sequential position_code(std::int64_t channels) {
  return torch::nn::Sequential(Conv1d(Conv1dOptions(2, channels, 1)), BatchNorm(channels), torch::nn::ReLU(),
                               Conv1d(Conv1dOptions(channels, channels, 1)));
}

}  // namespace bevfusion
