// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <map>
#include <string>
#include <vector>

#include <torch/types.h>

#include "bevfusion/geometry/box.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// What a network says of one sample, beside what is true. Without augmentation, so in the sample's own LiDAR frame; on the CPU.
struct SamplePrediction {
  RowIndex sample = -1;
  bool finite = true;        ///< false where an output was NaN or infinite: there nothing was found
  std::vector<Box3D> truth;  ///< every annotated box of the labels
  torch::Tensor masks;       ///< [labels, X, Y] float, 0 or 1: the true map
  torch::Tensor labelled;    ///< [labels] bool: which of its classes are known
  /// By the names of the tasks that the network has: what Task::prediction() makes, such as std::vector<ScoredBox>.
  std::map<std::string, std::any> said;

  /// What a task said, nullptr where the network has no such task.
  /// @tparam Said  what the task's prediction() makes
  template <class Said>
  const Said* of(const std::string& task) const {
    const auto found = said.find(task);
    return found == said.end() ? nullptr : std::any_cast<Said>(&found->second);
  }
};

}  // namespace bevfusion
