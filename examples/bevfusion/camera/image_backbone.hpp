// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <torch/nn.h>

namespace bevfusion {

/// A map of an image backbone.
struct ImageLevel {
  std::int64_t channels = 0;
  std::int64_t stride = 8;  ///< pixels of the picture along a side of a cell
};

/// What turns images into one map at stride 8. A backbone of another kind is another class of this kind, made by name.
class ImageBackbone : public torch::nn::Module {
 public:
  /// @param images  [B, 3, H, W], normalised; H and W multiples of 8, or of what Kinds::picture_multiples says
  /// @return [B, channels(), H/8, W/8]
  virtual torch::Tensor forward(const torch::Tensor& images) = 0;
  virtual std::int64_t channels() const = 0;

  /// What tasks that look at pictures read: maps from fine to coarse, of which forward()'s is the last.
  virtual std::vector<ImageLevel> levels() const { return {{channels(), 8}}; }
  /// Those maps, [B, channels, H / stride, W / stride] each.
  virtual std::vector<torch::Tensor> forward_levels(const torch::Tensor& images) { return {forward(images)}; }
  /// The weight that forward()'s map is the output of, through norm and activation: the last layer that tasks share in pictures.
  /// Undefined where there is no such one.
  virtual torch::Tensor last_weight() const { return {}; }
};

}  // namespace bevfusion
