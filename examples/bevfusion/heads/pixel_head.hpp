// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/camera/image_backbone.hpp"
#include "bevfusion/camera/neck.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// Classes of a picture's pixels from the maps of an image backbone: a neck that goes from the coarsest map to the finest, as
/// DMFuser's decoder does with skip connections, and a 1 x 1 convolution to logits at the finest map's cells. Of one map alone a
/// 3 x 3 block stands in the neck's place.
class PixelHeadImpl : public torch::nn::Module {
 public:
  /// @param levels    of the image backbone, fine to coarse
  /// @param channels  of the neck
  PixelHeadImpl(const std::vector<ImageLevel>& levels, std::int64_t channels, std::int64_t classes);

  /// @param maps  [N, C, H / stride, W / stride] each
  /// @return logits [N, classes, H / stride, W / stride] of the finest map, float
  torch::Tensor forward(const std::vector<torch::Tensor>& maps);

 private:
  Neck neck_{nullptr};
  ConvBlock block_{nullptr};
  torch::nn::Conv2d out_{nullptr};
};
TORCH_MODULE(PixelHead);

}  // namespace bevfusion
