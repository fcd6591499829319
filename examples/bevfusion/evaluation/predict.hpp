// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/evaluation/decode.hpp"
#include "bevfusion/model/missing_input.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/nuscenes/tables.hpp"

namespace bevfusion {

/// What a network says of one sample, beside what is true. Without augmentation, so in the sample's own LiDAR frame; on the CPU.
struct SamplePrediction {
  RowIndex sample = -1;
  std::vector<ScoredBox> boxes;  ///< surest first; none without a detection head
  torch::Tensor segmentation;    ///< [labels, X, Y] float probabilities of the map's labels; undefined without that head
  torch::Tensor foreground;      ///< [masks, X, Y] float probabilities; likewise
  /// [masks, X, Y] float, 0 or 1: the true foreground, footprints of the boxes with a LiDAR or radar point, which are those that
  /// are evaluated; undefined without that head.
  torch::Tensor foreground_truth;
  bool finite = true;        ///< false where an output was NaN or infinite: such a cell has probability 0, such a box is left out
  std::vector<Box3D> truth;  ///< every annotated box of the labels
  torch::Tensor masks;       ///< [labels, X, Y] float, 0 or 1: the true map
  torch::Tensor labelled;    ///< [labels] bool: which of its classes are known
};

/// Runs the network over the samples, in their order, and hands each to `take`: in evaluation mode, without gradients and
/// augmentation, with the run's device, precision and batch size, loading ahead. Every module is left in the mode it was in.
/// @param without  modalities that are missing
/// @param missing  and how
/// @throws DataError for files that cannot be read; std::invalid_argument for a modality that the network has not, or map labels
///   in config.loading that are not its own
void predict(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
             const std::vector<std::string>& without, const std::function<void(const SamplePrediction&)>& take,
             Missing missing = Missing::maps);

}  // namespace bevfusion
