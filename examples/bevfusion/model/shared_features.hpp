// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "bevfusion/heads/decoded_queries.hpp"

namespace bevfusion {

/// What the tasks of a network share: the map that most of them read; where one of them looks at pictures
/// (tasks/picture_task.hpp), the camera branch's maps from upstream of lift and splat; where some of them share a decoder, what
/// it makes of the map.
struct SharedFeatures {
  torch::Tensor bev;                    ///< [B, C, X, Y]
  std::vector<torch::Tensor> pictures;  ///< [B, cameras, C, H / stride, W / stride] each, from fine to coarse; may be none
  DecodedQueries queries;               ///< none where no task reads them

  SharedFeatures() = default;
  /// Of a network whose tasks read the map alone.
  SharedFeatures(torch::Tensor map, std::vector<torch::Tensor> levels = {})  // NOLINT: a map is that much
      : bev(std::move(map)), pictures(std::move(levels)) {}

  /// All of them as a fork takes them.
  std::vector<torch::Tensor> levels() const {
    SharedFeatures copy = *this;
    std::vector<torch::Tensor> all;
    for (const torch::Tensor* level : copy.places()) {
      all.push_back(*level);
    }
    return all;
  }

  /// The same with others in the place of levels(), as a fork hands them out.
  /// @throws std::logic_error for another number of them
  SharedFeatures with(const std::vector<torch::Tensor>& others) const {
    SharedFeatures changed = *this;
    const std::vector<torch::Tensor*> places = changed.places();
    if (places.size() != others.size()) {
      throw std::logic_error("what tasks share is " + std::to_string(places.size()) + " tensors, and " +
                             std::to_string(others.size()) + " are to stand in their place");
    }
    for (std::size_t k = 0; k < places.size(); ++k) {
      *places[k] = others[k];
    }
    return changed;
  }

 private:
  std::vector<torch::Tensor*> places() {
    std::vector<torch::Tensor*> all;
    if (bev.defined()) {
      all.push_back(&bev);
    }
    for (torch::Tensor& picture : pictures) {
      all.push_back(&picture);
    }
    for (torch::Tensor* level : queries.levels()) {
      all.push_back(level);
    }
    return all;
  }
};

}  // namespace bevfusion
