// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <torch/types.h>

namespace bevfusion {

/// What a decoder that several tasks share (heads/query_decoder.hpp) makes of the shared map. What was not asked for is
/// undefined.
struct DecodedQueries {
  torch::Tensor heat_map;     ///< [B, classes, X, Y] logits, from which object queries were chosen
  torch::Tensor objects;      ///< [B, C, Q]
  torch::Tensor centre;       ///< [B, 2, Q], cells: where object queries started
  torch::Tensor query_class;  ///< [B, Q] int64
  torch::Tensor query_score;  ///< [B, classes, Q]: the heat map's probabilities at the query's cell
  torch::Tensor patches;      ///< [B, C, P], row by row: patch (i, j) of a side of n is i n + j

  bool any() const { return objects.defined() || patches.defined(); }
  /// Those through which gradients go, as a fork takes them.
  std::vector<torch::Tensor*> levels() {
    std::vector<torch::Tensor*> all;
    for (torch::Tensor* level : {&heat_map, &objects, &patches}) {
      if (level->defined()) {
        all.push_back(level);
      }
    }
    return all;
  }
};

}  // namespace bevfusion
