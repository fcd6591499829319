// SPDX-License-Identifier: Apache-2.0
// The model's layers: published parameter counts, shapes, and the geometry that is easy to get silently wrong.
#include <cmath>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/camera/lift_splat.hpp"
#include "bevfusion/camera/neck.hpp"
#include "bevfusion/camera/splat.hpp"
#include "bevfusion/camera/swin.hpp"
#include "bevfusion/fusion/concat_fuser.hpp"
#include "bevfusion/fusion/second.hpp"
#include "bevfusion/heads/fuller_det.hpp"
#include "bevfusion/heads/fuller_seg.hpp"
#include "bevfusion/lidar/voxel_net.hpp"
#include "bevfusion/lidar/voxels.hpp"
#include "bevfusion/model/model_config.hpp"
#include "support/catch.hpp"

namespace {

std::int64_t parameters_of(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const auto& parameter : module.parameters()) {
    count += parameter.numel();
  }
  return count;
}

TEST_CASE("the full model's parts have the parameters counted by hand", "[bevfusion][model]") {
  // The counts follow from the layers' shapes: 3x3 convolution in*out*9, batch norm 2*out, and so on; documented with the
  // example.
  CHECK(parameters_of(*bevfusion::Swin()) == 27520506);
  CHECK(parameters_of(*bevfusion::Neck(std::vector<std::int64_t>{192, 384, 768}, 256)) == 1591296);
  CHECK(parameters_of(*bevfusion::LiftSplat(256)) == 35723 + 173280);
  CHECK(parameters_of(bevfusion::ConcatFuser({256, 80}, 256)) == 774656);
  CHECK(parameters_of(*bevfusion::Second()) == 1033728 + 3247104 + 33280 + 262656);
  CHECK(parameters_of(*bevfusion::FullerDet()) == 1034910);
  CHECK(parameters_of(*bevfusion::FullerSeg()) == 2695168);
}

TEST_CASE("Swin pads to whole windows and halves three times", "[bevfusion][model]") {
  bevfusion::SwinOptions options;
  options.embedding = 12;
  options.depths = {2, 2, 2, 2};
  options.heads = {2, 2, 4, 4};
  options.window = 4;
  bevfusion::Swin swin(options);
  swin->eval();
  const auto maps = swin->forward(torch::randn({2, 3, 64, 96}));
  REQUIRE(maps.size() == 3);
  CHECK(maps[0].sizes() == at::IntArrayRef({2, 24, 8, 12}));
  CHECK(maps[1].sizes() == at::IntArrayRef({2, 48, 4, 6}));
  CHECK(maps[2].sizes() == at::IntArrayRef({2, 96, 2, 3}));
}

TEST_CASE("a shifted window attends to true neighbours only", "[bevfusion][model]") {
  // With a mask that wraps round hidden, moving the content of the last rows must not change what the first rows become.
  torch::manual_seed(5);
  bevfusion::SwinOptions options;
  options.window = 4;
  options.mlp_ratio = 2;
  bevfusion::SwinBlock block(8, 2, options, /*shifted=*/true, 0.0);
  block->eval();
  const torch::Tensor tokens = torch::randn({1, 8, 8, 8});
  torch::Tensor changed = tokens.clone();
  changed.slice(1, 6) = torch::randn({1, 2, 8, 8});  // rows 6 and 7 share a shifted window with rows 0 and 1, wrapped round
  const torch::Tensor before = block->forward(tokens);
  const torch::Tensor after = block->forward(changed);
  CHECK((before.slice(1, 0, 6) - after.slice(1, 0, 6)).abs().max().item<double>() < 1e-6);
  CHECK((before.slice(1, 6) - after.slice(1, 6)).abs().max().item<double>() > 1e-3);
}

TEST_CASE("splatting in chunks equals the outer product, forward and backward", "[bevfusion][model]") {
  torch::manual_seed(6);
  const std::int64_t rows = 500;
  const std::int64_t pixels = 40;
  const std::int64_t cells = 30;
  const torch::Tensor depth = torch::rand({rows}, torch::kDouble).requires_grad_();
  const torch::Tensor context = torch::randn({pixels, 7}, torch::kDouble).requires_grad_();
  const torch::Tensor pixel = torch::randint(pixels, {rows}, torch::kLong);
  const torch::Tensor cell = torch::randint(cells, {rows}, torch::kLong);
  const torch::Tensor plain =
      torch::zeros({cells, 7}, torch::kDouble).index_add(0, cell, depth.unsqueeze(1) * context.index_select(0, pixel));
  const torch::Tensor cotangent = torch::randn_like(plain);
  const auto expected = torch::autograd::grad({plain}, {depth, context}, {cotangent});
  for (const std::int64_t chunk : {std::int64_t{1}, std::int64_t{64}, std::int64_t{1000}}) {
    const torch::Tensor mine = bevfusion::splat(depth, context, pixel, cell, cells, chunk);
    const auto gradients = torch::autograd::grad({mine}, {depth, context}, {cotangent});
    CHECK((mine - plain).abs().max().item<double>() < 1e-13);
    CHECK((gradients[0] - expected[0]).abs().max().item<double>() < 1e-13);
    CHECK((gradients[1] - expected[1]).abs().max().item<double>() < 1e-13);
  }
}

/// One camera 2 m left of the LiDAR's origin that looks along +y of the LiDAR frame: x right, y down, z forward.
bevfusion::CameraGeometry one_camera() {
  bevfusion::CameraGeometry geometry;
  const auto options = torch::TensorOptions(torch::kDouble);
  geometry.intrinsics = torch::tensor({100.0, 0.0, 32.0, 0.0, 100.0, 16.0, 0.0, 0.0, 1.0}, options).view({1, 1, 3, 3});
  geometry.camera_to_lidar =
      torch::tensor({1.0, 0.0, 0.0, -2.0, 0.0, 0.0, 1.0, 0.0, 0.0, -1.0, 0.0, 1.5, 0.0, 0.0, 0.0, 1.0}, options)
          .view({1, 1, 4, 4});
  geometry.image_augmentation = torch::eye(4, options).view({1, 1, 4, 4});
  geometry.lidar_augmentation = torch::eye(4, options).view({1, 4, 4});
  return geometry;
}

TEST_CASE("frustum points lie where the camera looks, also through augmentations", "[bevfusion][model]") {
  bevfusion::LiftSplatOptions options;
  options.image_height = 33;
  options.image_width = 65;
  options.depths = 3;
  options.first_depth = 10;
  options.depth_step = 5;
  options.channels = 4;
  bevfusion::LiftSplat layer(8, options);
  auto geometry = one_camera();
  // Pixel columns are 0, 32, 64, rows 0, 16, 32: the middle one is the principal point.
  const torch::Tensor points = layer->frustum_points(3, 3, geometry);
  const auto expect = [](const torch::Tensor& point, double x, double y, double z) {
    CHECK(point[0].item<double>() == Approx(x).margin(1e-9));
    CHECK(point[1].item<double>() == Approx(y).margin(1e-9));
    CHECK(point[2].item<double>() == Approx(z).margin(1e-9));
  };
  expect(points[0][0][0][1][1], -2.0, 10.0, 1.5);              // straight ahead, 10 m
  expect(points[0][0][2][1][2], -2.0 + 0.32 * 20, 20.0, 1.5);  // 32 pixels to the right at 20 m
  expect(points[0][0][1][0][1], -2.0, 15.0, 1.5 + 0.16 * 15);  // 16 pixels up at 15 m
  // An image scaled by 2 and moved by (3, 4): pixel p as fed was (p - t) / 2 as taken.
  geometry.image_augmentation[0][0][0][0] = 2.0;
  geometry.image_augmentation[0][0][1][1] = 2.0;
  geometry.image_augmentation[0][0][0][3] = 3.0;
  geometry.image_augmentation[0][0][1][3] = 4.0;
  expect(layer->frustum_points(3, 3, geometry)[0][0][0][1][2], -2.0 + ((64.0 - 3.0) / 2 - 32.0) / 100 * 10, 10.0,
         1.5 - ((16.0 - 4.0) / 2 - 16.0) / 100 * 10);
  // A LiDAR frame turned by 90 degrees: x <- -y, y <- x.
  geometry = one_camera();
  geometry.lidar_augmentation =
      torch::tensor({0.0, -1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0}, torch::kDouble)
          .view({1, 4, 4});
  expect(layer->frustum_points(3, 3, geometry)[0][0][0][1][1], -10.0, -2.0, 1.5);
}

TEST_CASE("resampling keeps x and y apart and covers the smaller square", "[bevfusion][model]") {
  // A map over +-2 m whose value is 10 x + y at the cell centre: bilinear resampling is exact on it.
  const std::int64_t side = 8;
  const torch::Tensor centre = (torch::arange(side, torch::kDouble) + 0.5) / 2 - 2;
  const torch::Tensor map = (10 * centre.view({-1, 1}) + centre.view({1, -1})).view({1, 1, side, side});
  bevfusion::MaskGrid grid;
  grid.range = 1;
  grid.cells = 4;
  const torch::Tensor sampled = bevfusion::resample(map, 2.0, grid);
  const torch::Tensor wanted = (torch::arange(4, torch::kDouble) + 0.5) / 2 - 1;
  const torch::Tensor expected = 10 * wanted.view({-1, 1}) + wanted.view({1, -1});
  CHECK((sampled[0][0] - expected).abs().max().item<double>() < 1e-12);
}

TEST_CASE("rows of a resampled map are those of the whole, zeros beyond the mask, also where the mask is the larger",
          "[bevfusion][model]") {
  const torch::NoGradGuard no_grad;
  const torch::Tensor map = torch::randn({2, 3, 7, 9}, torch::kDouble);
  bevfusion::MaskGrid grid;
  grid.cells = 6;
  for (const double range : {1.7, 2.0, 2.6}) {
    grid.range = range;
    const torch::Tensor whole = torch::constant_pad_nd(bevfusion::resample(map, 2.0, grid), {0, 0, 2, 1});
    for (const auto& [first, last] : {std::pair(-2, 1), std::pair(1, 4), std::pair(3, 7), std::pair(-2, 7)}) {
      const torch::Tensor rows = bevfusion::resample_rows(map, 2.0, grid, first, last);
      CAPTURE(range, first, last);
      CHECK((rows - whole.slice(2, first + 2, last + 2)).abs().max().item<double>() < 1e-12);
    }
  }
}

TEST_CASE("Fuller-seg's masks are the same without gradients, where it reads the map in strips", "[bevfusion][model]") {
  const torch::TensorOptions exact = torch::kDouble;
  for (const std::int64_t kernel : {1, 3, 5}) {
    bevfusion::FullerSegOptions options;
    options.inputs = 96;
    options.channels = 8;
    options.kernel = kernel;
    options.feed_forward = 16;
    options.heads = 2;
    options.mask.cells = 160;  // strips of 136 rows and of 24
    bevfusion::FullerSeg head(options);
    head->to(torch::kDouble);
    head->eval();
    const torch::Tensor shared = torch::randn({1, options.inputs, 24, 24}, exact);
    const torch::Tensor whole = head->forward(shared).detach();
    const torch::NoGradGuard no_grad;
    const torch::Tensor in_strips = head->forward(shared);
    CAPTURE(kernel);
    CHECK((in_strips - whole).abs().max().item<double>() < 1e-12 * whole.abs().max().item<double>());
  }
}

TEST_CASE("peaks are local maxima, single cells for point classes", "[bevfusion][model]") {
  bevfusion::FullerDetOptions options;
  options.inputs = 4;
  options.channels = 8;
  options.classes = 3;
  options.queries = 5;
  options.heads = 2;
  options.feed_forward = 8;
  options.branch = 4;
  options.point_classes = {2};
  bevfusion::FullerDet head(options);
  torch::Tensor heat = torch::full({1, 3, 6, 6}, -4.0);
  heat[0][0][2][3] = 2.0;
  heat[0][0][2][4] = 1.0;  // beside a stronger cell: no peak
  heat[0][1][0][0] = 3.0;  // at the border: no peak
  heat[0][2][5][5] = 1.0;  // a point class may peak anywhere
  const torch::Tensor peaks = head->peaks(heat);
  CHECK(peaks[0][0][2][3].item<double>() == Approx(1 / (1 + std::exp(-2.0))));
  CHECK(peaks[0][0][2][4].item<double>() == 0.0);
  CHECK(peaks[0][1][0][0].item<double>() == 0.0);
  CHECK(peaks[0][2][5][5].item<double>() == Approx(1 / (1 + std::exp(-1.0))));
  const auto out = head->forward(torch::randn({2, 4, 6, 6}));
  CHECK(out.class_logits.sizes() == at::IntArrayRef({2, 3, 5}));
  CHECK(out.centre.sizes() == at::IntArrayRef({2, 2, 5}));
}

TEST_CASE("a LiDAR branch trains on clouds of no point and of one", "[bevfusion][model]") {
  const bevfusion::ModelConfig config = bevfusion::tiny_model();
  bevfusion::VoxelNet net(config.voxel_net, config.voxels);
  for (const std::int64_t points : {0, 1}) {
    const torch::Tensor map = net->forward(bevfusion::voxelise({torch::zeros({points, 5})}, config.voxels));
    map.sum().backward();
    CHECK(torch::isfinite(map).all().item<bool>());
  }
  // Neither says anything of the sites' statistics.
  for (const auto& buffer : net->named_buffers()) {
    INFO(buffer.key());
    const bool is_variance = buffer.key().find("running_var") != std::string::npos;
    if (is_variance || buffer.key().find("running_mean") != std::string::npos) {
      CHECK(buffer.value().eq(is_variance ? 1 : 0).all().item<bool>());
    }
  }
}

}  // namespace
