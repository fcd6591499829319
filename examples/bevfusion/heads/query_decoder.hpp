// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/heads/decoded_queries.hpp"
#include "bevfusion/heads/detection_head.hpp"
#include "bevfusion/heads/segmentation_head.hpp"

namespace bevfusion {

/// Which queries the tasks of a network ask a decoder for.
struct QueriesAsked {
  DetectionOutputs objects;  ///< no object queries where it has no class
  bool patches = false;
};

/// A decoder that several tasks share: their queries look at each other and at the map, and small heads read off what they say. A
/// decoder of another kind is another class of this kind, made by name (Kinds::decoders); its heads are registered under its
/// name, too, and whoever chooses them chooses it.
class QueryDecoder : public torch::nn::Module {
 public:
  /// @param shared  [B, C, X, Y]
  virtual DecodedQueries forward(const torch::Tensor& shared) = 0;
  virtual std::int64_t channels() const = 0;  ///< of its queries

  /// The weights at which tasks that share it are compared: the last ones that each part of each loss goes through on its way to
  /// the trunk.
  virtual std::vector<torch::Tensor> last_shared() const = 0;
  /// The parameters that tasks of every kind of query train.
  virtual std::vector<torch::Tensor> shared_parameters() const = 0;
};

/// What reads boxes off a decoder's object queries.
class QueryDetectionHead : public DetectionHead {
 public:
  virtual Detections forward_queries(const DecodedQueries& queries) = 0;
  Detections forward(const torch::Tensor&) final {
    throw std::logic_error("a head of object queries reads what a decoder makes of the map, and not the map");
  }
};

/// What draws masks from a decoder's patch queries.
class QuerySegmentationHead : public SegmentationHead {
 public:
  /// @return logits [B, masks, cells, cells]
  virtual torch::Tensor forward_queries(const DecodedQueries& queries) = 0;
  torch::Tensor forward(const torch::Tensor&) final {
    throw std::logic_error("a head of patch queries reads what a decoder makes of the map, and not the map");
  }
};

}  // namespace bevfusion
