// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/heads/attention_layer.hpp"
#include "bevfusion/heads/detection_head.hpp"

namespace bevfusion {

/// Widths of Fuller-det. Defaults: the full model.
struct FullerDetOptions {
  std::int64_t inputs = 512;
  std::int64_t channels = 128;
  std::int64_t classes = 10;
  std::int64_t queries = 200;
  std::int64_t heads = 8;
  std::int64_t feed_forward = 256;
  std::int64_t branch = 64;  ///< hidden channels of each prediction
  double dropout = 0.1;      ///< of the decoder layer
  /// Bias that heat map and class start with; sigmoid of -2.19 is about 0.1, CenterNet's remedy against a first loss of
  /// thousands.
  double score_bias = -2.19;
  /// Classes whose peaks are single cells: pedestrian and traffic cone, in the order of DetectionClass.
  std::vector<std::int64_t> point_classes{5, 8};
};

/// Detection by heat-map queries and one decoder layer (TransFusion's head).
///
/// The strongest local maxima of the class heat map become queries: their feature plus the embedding of their class. A decoder
/// layer lets them look at each other and at the whole map, and small branches read boxes off.
class FullerDetImpl : public DetectionHead {
 public:
  explicit FullerDetImpl(FullerDetOptions options = {});

  /// @param shared  [B, inputs, X, Y]
  Detections forward(const torch::Tensor& shared) override;

  /// The heat map's probabilities with everything but local maxima (3 x 3, in the interior; single cells for point classes) set
  /// to 0; [B, classes, X, Y], detached.
  torch::Tensor peaks(const torch::Tensor& heat_map) const;

 private:
  FullerDetOptions options_;
  torch::nn::Conv2d shared_{nullptr};
  torch::nn::Sequential heat_{nullptr};
  torch::nn::Conv1d class_embedding_{nullptr};
  torch::nn::Sequential self_position_{nullptr}, cross_position_{nullptr};
  DecoderLayer layer_{nullptr};
  std::vector<torch::nn::Sequential> branches_;  ///< centre, height, size, heading, velocity, class
};
TORCH_MODULE(FullerDet);

}  // namespace bevfusion
