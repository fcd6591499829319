// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn.h>

namespace bevfusion {

/// Places in a map that may hold an object, from which queries start.
struct ObjectPlaces {
  torch::Tensor cell;         ///< [B, Q] int64: x times the map's columns, plus y
  torch::Tensor centre;       ///< [B, 2, Q], cells
  torch::Tensor query_class;  ///< [B, Q] int64
  torch::Tensor query_score;  ///< [B, classes, Q]: the heat map's probabilities at the cell, local maxima alone
};

/// Centres of the cells of an X x Y map, in cells: [X Y, 2].
torch::Tensor cell_centres(std::int64_t rows, std::int64_t columns, const torch::TensorOptions& options);

/// The probabilities of a heat map [B, classes, X, Y] of logits with everything but local maxima (3 x 3, in the interior; single
/// cells for point classes) set to 0, detached.
torch::Tensor local_maxima(const torch::Tensor& heat_map, const std::vector<std::int64_t>& point_classes);

/// The strongest local maxima of a heat map of logits, over all its classes.
/// @param exact  options of places: single precision at least, since bfloat16 tells places beyond 64 cells no nearer than half a
///               cell
ObjectPlaces object_places(const torch::Tensor& heat_map, std::int64_t queries, const std::vector<std::int64_t>& point_classes,
                           const torch::TensorOptions& exact);

/// What is at the places of a map [B, C, X Y], plus the embedding of their classes: [B, C, Q].
torch::Tensor object_queries(const torch::Tensor& map, const ObjectPlaces& places, std::int64_t classes,
                             torch::nn::Conv1d& class_embedding);

/// Logits of classes from a map, whose last bias is `score_bias`.
torch::nn::Sequential heat_map_layers(std::int64_t channels, std::int64_t classes, double score_bias);

/// A learnt code of places [B, 2, Q] in cells: [B, channels, Q].
torch::nn::Sequential position_code(std::int64_t channels);

}  // namespace bevfusion
