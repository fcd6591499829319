// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/lift_splat.hpp"

#include <cmath>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/camera/splat.hpp"

namespace bevfusion {

LiftSplatImpl::LiftSplatImpl(std::int64_t in, LiftSplatOptions options)
    : options_(std::move(options)), cells_(std::llround(2 * options_.range / options_.cell)) {
  const std::int64_t channels = options_.channels;
  lift_ = register_module("lift", torch::nn::Conv2d(torch::nn::Conv2dOptions(in, options_.depths + channels, 1)));
  torch::nn::Sequential layers;
  if (options_.downsample) {
    ConvOptions halve;
    halve.stride = 2;
    layers =
        torch::nn::Sequential(ConvBlock(channels, channels), ConvBlock(channels, channels, halve), ConvBlock(channels, channels));
  } else {
    layers = torch::nn::Sequential(ConvBlock(channels, channels));
  }
  convolve_ = register_module("convolve", layers);
}

torch::Tensor LiftSplatImpl::frustum_points(std::int64_t rows, std::int64_t columns, const CameraGeometry& geometry) const {
  const auto options = geometry.intrinsics.options();
  const torch::Tensor depth =
      options_.first_depth + options_.depth_step * torch::arange(options_.depths, options).view({-1, 1, 1});
  const torch::Tensor v = torch::linspace(0, static_cast<double>(options_.image_height - 1), rows, options).view({1, -1, 1});
  const torch::Tensor u = torch::linspace(0, static_cast<double>(options_.image_width - 1), columns, options).view({1, 1, -1});
  const torch::Tensor seen =
      torch::stack(torch::broadcast_tensors({u, v, depth}), 3).view({1, 1, -1, 3});  // [1, 1, D h w, 3]: pixels as fed

  const auto linear = [](const torch::Tensor& matrix) { return matrix.narrow(-2, 0, 3).narrow(-1, 0, 3); };
  const auto offset = [](const torch::Tensor& matrix) {
    return matrix.narrow(-2, 0, 3).narrow(-1, 3, 1).squeeze(-1).unsqueeze(-2);
  };
  const auto apply = [](const torch::Tensor& matrix, const torch::Tensor& points) {
    return points.matmul(matrix.transpose(-1, -2));
  };

  const torch::Tensor& augmented = geometry.image_augmentation;
  const torch::Tensor taken = apply(torch::linalg_inv(linear(augmented)), seen - offset(augmented));
  const torch::Tensor along_ray = torch::cat({taken.narrow(3, 0, 2) * taken.narrow(3, 2, 1), taken.narrow(3, 2, 1)}, 3);
  const torch::Tensor& to_lidar = geometry.camera_to_lidar;
  torch::Tensor points = apply(linear(to_lidar), apply(torch::linalg_inv(geometry.intrinsics), along_ray)) + offset(to_lidar);
  const torch::Tensor moved = geometry.lidar_augmentation.unsqueeze(1);
  points = apply(linear(moved), points) + offset(moved);
  return points.view({points.size(0), points.size(1), options_.depths, rows, columns, 3});
}

torch::Tensor LiftSplatImpl::forward(const torch::Tensor& features, const CameraGeometry& geometry) {
  const std::int64_t batch = geometry.intrinsics.size(0);
  const std::int64_t cameras = geometry.intrinsics.size(1);
  const std::int64_t rows = features.size(2);
  const std::int64_t columns = features.size(3);
  const std::int64_t pixels = rows * columns;
  torch::Tensor lifted = lift_->forward(features);
  // A cell is the sum of hundreds of products, which half precision would lose.
  lifted = lifted.to(c10::promoteTypes(lifted.scalar_type(), torch::kFloat));
  const torch::Tensor depth = lifted.narrow(1, 0, options_.depths).softmax(1).flatten();
  const torch::Tensor context =
      lifted.narrow(1, options_.depths, options_.channels).permute({0, 2, 3, 1}).reshape({-1, options_.channels});

  torch::Tensor kept;
  torch::Tensor cell;
  torch::Tensor pixel;
  {
    const torch::NoGradGuard no_grad;
    const torch::Tensor points = frustum_points(rows, columns, geometry).flatten(0, 4);  // [B N D h w, 3]
    const torch::Tensor x = ((points.select(1, 0) + options_.range) / options_.cell).floor().to(torch::kLong);
    const torch::Tensor y = ((points.select(1, 1) + options_.range) / options_.cell).floor().to(torch::kLong);
    const torch::Tensor z = points.select(1, 2);
    const torch::Tensor inside =
        (x >= 0) & (x < cells_) & (y >= 0) & (y < cells_) & (z >= options_.lowest_z) & (z < options_.highest_z);
    kept = inside.nonzero().flatten();
    const torch::Tensor camera = torch::div(kept, options_.depths * pixels, "floor");
    pixel = camera * pixels + kept.remainder(pixels);
    const torch::Tensor sample = torch::div(camera, cameras, "floor");
    cell = (sample * cells_ + x.index_select(0, kept)) * cells_ + y.index_select(0, kept);
  }
  const torch::Tensor grid = splat(depth.index_select(0, kept), context, pixel, cell, batch * cells_ * cells_);
  return convolve_->forward(grid.view({batch, cells_, cells_, options_.channels}).permute({0, 3, 1, 2}).contiguous());
}

}  // namespace bevfusion
