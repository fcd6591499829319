// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <torch/nn.h>

#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// Where the cameras of a batch of samples look, as [B, N, ...] float64 tensors.
struct CameraGeometry {
  torch::Tensor intrinsics;          ///< [B, N, 3, 3], pixels of the image as taken
  torch::Tensor camera_to_lidar;     ///< [B, N, 4, 4], through both ego poses
  torch::Tensor image_augmentation;  ///< [B, N, 4, 4]: (u, v, d, 1) as taken -> as fed to the network
  torch::Tensor lidar_augmentation;  ///< [B, 4, 4]: LiDAR frame -> augmented LiDAR frame
};

/// Numbers of a lift-splat layer. Defaults: the full model.
struct LiftSplatOptions {
  std::int64_t image_height = 256;
  std::int64_t image_width = 704;
  double first_depth = 1;  ///< metres; depths are first, first + step, ...
  double depth_step = 1;
  std::int64_t depths = 59;
  std::int64_t channels = 80;
  double range = 51.2;  ///< cells cover [-range, range) in x and y
  double cell = 0.4;
  double lowest_z = -10;
  double highest_z = 10;
  bool downsample = true;  ///< three convolutions after the grid, the second of stride 2; else one 3 x 3
};

/// The camera branch after its backbone (LSS): features of N cameras in, a BEV map out.
///
/// A 1 x 1 convolution gives each pixel a distribution over depths and a context; their product is summed into the BEV cells that
/// the pixel's rays pass, and the grid is convolved.
class LiftSplatImpl : public torch::nn::Module {
 public:
  LiftSplatImpl(std::int64_t in, LiftSplatOptions options = {});

  /// @param features  [B N, in, H/8, W/8]
  /// @return [B, channels, X, Y]
  torch::Tensor forward(const torch::Tensor& features, const CameraGeometry& geometry);

  /// The frustum's points [B, N, D, H/8, W/8, 3] in the (augmented) LiDAR frame, float64.
  torch::Tensor frustum_points(std::int64_t rows, std::int64_t columns, const CameraGeometry& geometry) const;

 private:
  LiftSplatOptions options_;
  std::int64_t cells_;  ///< along one side
  torch::nn::Conv2d lift_{nullptr};
  torch::nn::Sequential convolve_{nullptr};
};
TORCH_MODULE(LiftSplat);

}  // namespace bevfusion
