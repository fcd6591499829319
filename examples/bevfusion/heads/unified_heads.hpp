// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "bevfusion/heads/query_decoder.hpp"

namespace bevfusion {

/// Boxes read off the object queries of a decoder by small branches, as Fuller-det reads them off its own.
class ObjectHeadImpl : public QueryDetectionHead {
 public:
  /// @param hidden  channels of each branch
  ObjectHeadImpl(std::int64_t channels, std::int64_t hidden, std::int64_t classes, double score_bias);

  Detections forward_queries(const DecodedQueries& queries) override;

 private:
  std::vector<torch::nn::Sequential> branches_;
};
TORCH_MODULE(ObjectHead);

/// Masks from the patch queries of a decoder: the patches are laid out as they tile the map and brought to its cells by
/// deconvolutions (Bohn et al., Sec. 4). Each deconvolution's stride is its kernel, so what a query says becomes the mask of its
/// patch and of nothing else.
class PatchHeadImpl : public QuerySegmentationHead {
 public:
  /// @param side   patches along a side
  /// @param cells  of the mask along a patch's side; each of its prime factors is a deconvolution that halves the channels, down
  ///               to 16
  PatchHeadImpl(std::int64_t channels, std::int64_t side, std::int64_t cells, std::int64_t masks);

  torch::Tensor forward_queries(const DecodedQueries& queries) override;

 private:
  std::int64_t side_;
  torch::nn::Sequential grow_{nullptr};
};
TORCH_MODULE(PatchHead);

}  // namespace bevfusion
