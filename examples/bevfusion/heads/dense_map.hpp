// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "bevfusion/heads/mask_grid.hpp"
#include "bevfusion/heads/segmentation_head.hpp"

namespace bevfusion {

/// What a dense map head is made for. Defaults: the full model.
struct DenseMapOptions {
  std::int64_t inputs = 512;
  std::int64_t classes = 6;
  double map_range = 51.2;  ///< metres that the shared representation covers to each side
  MaskGrid mask;
};

/// BEVFusion's map head (Liu et al., ICRA 2023, BEVSegmentationHead): the shared map, resampled to the masks' cells (its
/// BEVGridTransform, prescale 1), then at full width conv 3x3, batch norm, ReLU, the same once more, and conv 1x1 to the masks.
///
/// Its parameters are called as there: `classifier.0.weight` and so on. Weights begin as LibTorch's layers do, as there.
class DenseMapImpl : public SegmentationHead {
 public:
  explicit DenseMapImpl(DenseMapOptions options = {});

  /// @param shared  [B, inputs, X, Y]
  /// @return logits [B, classes, cells, cells]
  torch::Tensor forward(const torch::Tensor& shared) override;

 private:
  DenseMapOptions options_;
  torch::nn::Sequential classifier_{nullptr};
};
TORCH_MODULE(DenseMap);

}  // namespace bevfusion
