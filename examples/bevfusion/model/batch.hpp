// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <torch/types.h>

#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/model/model_config.hpp"
#include "bevfusion/model/model_input.hpp"

namespace bevfusion {

/// Mean and standard deviation of ImageNet's pictures, by channel, of values in [0, 1]: what the image backbone is fed relative
/// to.
inline constexpr std::array<float, 3> image_mean = {0.485F, 0.456F, 0.406F};
inline constexpr std::array<float, 3> image_deviation = {0.229F, 0.224F, 0.225F};

/// Samples as tensors, on the CPU.
struct Batch {
  ModelInput input;
  std::vector<std::vector<Box3D>> boxes;  ///< of each sample, in its augmented LiDAR frame
  torch::Tensor masks;                    ///< [B, classes, X, Y] float, 0 or 1
  torch::Tensor labelled;                 ///< [B, classes] bool
  /// What tasks add to it, by their names, for each sample; see Task::labels().
  std::map<std::string, std::vector<torch::Tensor>> labels;
};

/// A batch as the trainer takes it, on the CPU.
struct TrainingBatch {
  Batch batch;  ///< boxes: those with a LiDAR or radar point in them; masks: `labelled` is false where the sample is not to have
                ///< them
  std::vector<bool> boxes_labelled;  ///< whether the sample's boxes are labels
  std::vector<std::string> absent;   ///< modalities that it is learnt from without
  std::uint64_t draws = 0;           ///< key of what the network draws at random (dropout) while it learns from the batch
  std::int64_t epoch = 0;            ///< in which it comes
  std::vector<RowIndex> rows;        ///< of its samples, in the tables
};

/// The pose of a camera that is absent: its rays end far below every grid.
Eigen::Matrix4d nowhere();

/// Brings samples together.
///
/// A camera that is absent is a picture of the mean colour that looks nowhere: its rays end outside of every grid.
/// @throws std::invalid_argument for no samples, or pictures or masks of different sizes.
Batch collate(const std::vector<TrainingSample>& samples);

/// How a model's samples are to be loaded: by the sensors it has, pictures and maps of the sizes it takes, maps of its labels.
LoadingOptions loading_options(const ModelConfig& config, const LabelSets& sets = label_sets());

}  // namespace bevfusion
