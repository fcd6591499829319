// SPDX-License-Identifier: Apache-2.0
// Numbers of the parts that configs name: what they are by default, and that they do what they say.
#include <cmath>
#include <numeric>

#include <torch/torch.h>

#include "bevfusion/heads/fuller_det.hpp"
#include "bevfusion/heads/fuller_seg.hpp"
#include "bevfusion/lidar/voxel_net.hpp"
#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/model/bev_fusion.hpp"
#include "bevfusion/model/missing_input.hpp"
#include "bevfusion/tests/support/random_input.hpp"
#include "support/catch.hpp"

namespace {

std::int64_t count(const torch::nn::Module& module) {
  std::int64_t sum = 0;
  for (const torch::Tensor& parameter : module.parameters()) {
    sum += parameter.numel();
  }
  return sum;
}

TEST_CASE("a VoxelNet's stages have as many blocks as asked for", "[bevfusion][model]") {
  bevfusion::VoxelNetOptions options;
  REQUIRE(options.blocks == 2);
  const std::int64_t two = count(*bevfusion::VoxelNet(options));
  CHECK(two == 2694352);
  // Two convolutions of 27 c^2 weights, and two norms of 2 c, a block.
  std::int64_t block = 0;
  for (const std::int64_t c : {16, 32, 64, 128}) {
    block += 2 * 27 * c * c + 4 * c;
  }
  options.blocks = 3;
  CHECK(count(*bevfusion::VoxelNet(options)) == two + block);
  options.blocks = 0;
  CHECK(count(*bevfusion::VoxelNet(options)) == two - 2 * block);
}

TEST_CASE("heads have the dropout and the bias that they are given", "[bevfusion][model]") {
  bevfusion::ModelConfig config = bevfusion::tiny_model();
  REQUIRE(config.detection.dropout == 0.1);
  REQUIRE(config.segmentation.dropout == 0.1);
  torch::manual_seed(4);
  const torch::Tensor z = torch::randn({1, 64, 64, 64});
  const auto repeats = [&](bevfusion::ModelConfig& of) {
    torch::manual_seed(5);
    bevfusion::BevFusion model(of);
    model->train();
    const auto said = [&] {
      const bevfusion::Detections detections = model->say_as<bevfusion::Detections>("detection", z);
      return torch::cat({detections.class_logits.flatten(), model->say_as<torch::Tensor>("segmentation", z).flatten()});
    };
    return torch::equal(said(), said());
  };
  CHECK_FALSE(repeats(config));
  config.detection.dropout = config.segmentation.dropout = 0;
  CHECK(repeats(config));

  bevfusion::FullerDetOptions options;
  const auto biases_of = [&options](double bias) {
    int found = 0;
    for (const torch::Tensor& parameter : bevfusion::FullerDet(options)->parameters()) {
      const bool all = parameter.dim() == 1 && parameter.numel() == options.classes &&
                       (parameter == static_cast<float>(bias)).all().item<bool>();
      found += all ? 1 : 0;
    }
    return found;
  };
  CHECK(biases_of(-2.19) == 2);  // of the heat map and of the class
  options.score_bias = -4.6;
  CHECK(biases_of(-4.6) == 2);
  CHECK(biases_of(-2.19) == 0);
}

/// The loss of what a model's head said of one sample's boxes.
bevfusion::DetectionLosses detection_loss(const bevfusion::BevFusion& model, const bevfusion::Detections& said,
                                          const std::vector<std::vector<bevfusion::Box3D>>& truth,
                                          const bevfusion::DetectionLossOptions& options) {
  const auto& head = bevfusion::head_as<bevfusion::DetectionHead>(model->head("detection"));
  return head.loss(said, truth, bevfusion::BoxCoder{model->config().bev_grid()}, options);
}

TEST_CASE("each entry of a box's code counts as much as asked for", "[bevfusion][losses]") {
  torch::manual_seed(6);
  const bevfusion::ModelConfig config = bevfusion::tiny_model();
  bevfusion::BevFusion model(config);
  model->eval();
  const torch::NoGradGuard no_grad;
  const bevfusion::Detections said = model->say_as<bevfusion::Detections>(
      "detection", model->fuse(model->branches(bevfusion::testing::random_input(config, 1))));
  bevfusion::Box3D car;
  car.center = {5.0, -8.0, -1.0};
  car.size = {1.9, 4.6, 1.7};
  car.yaw = 0.7;
  car.velocity = {3.0, 0.5};
  using Weights = bevfusion::CodeWeights;
  const auto losses = [&](Weights code) {
    bevfusion::DetectionLossOptions options;
    options.code = code;
    return detection_loss(model, said, {{car}}, options);
  };
  const auto number = [](const torch::Tensor& loss) { return loss.item<double>(); };
  const auto standard = losses({});
  REQUIRE(number(standard.velocity) > 0);
  CHECK(number(losses({1, 1, 1, 1, 0.2}).total) == number(standard.total));
  CHECK(number(losses({1, 1, 1, 1, 0.6}).velocity) == Approx(3 * number(standard.velocity)));
  CHECK(number(losses({1, 1, 1, 1, 0.6}).box) == number(standard.box));
  // The four groups add up to the box's loss, and each is what is left of it when the others count nothing.
  const double parts = number(losses({1, 0, 0, 0, 0}).box) + number(losses({0, 1, 0, 0, 0}).box) +
                       number(losses({0, 0, 1, 0, 0}).box) + number(losses({0, 0, 0, 1, 0}).box);
  CHECK(parts == Approx(number(standard.box)));
  for (const Weights one : {Weights{2, 0, 0, 0, 0}, Weights{0, 2, 0, 0, 0}, Weights{0, 0, 2, 0, 0}, Weights{0, 0, 0, 2, 0}}) {
    const Weights half{one.centre / 2, one.height / 2, one.size / 2, one.heading / 2, 0};
    CHECK(number(losses(one).box) > 0);
    CHECK(number(losses(one).box) == Approx(2 * number(losses(half).box)));
  }
}

TEST_CASE("the defaults are the numbers that were published, bit for bit", "[bevfusion][model]") {
  const bevfusion::ModelConfig standard = bevfusion::tiny_model();
  bevfusion::ModelConfig named = standard;
  named.voxel_net.blocks = 2;
  named.detection.dropout = named.segmentation.dropout = 0.1;
  named.detection.score_bias = -2.19;
  bevfusion::Box3D car;
  car.center = {5.0, -8.0, -1.0};
  car.size = {1.9, 4.6, 1.7};
  car.velocity = {3.0, 0.5};
  const auto run = [&](const bevfusion::ModelConfig& config, const bevfusion::DetectionLossOptions& options) {
    torch::manual_seed(8);
    bevfusion::BevFusion model(config);
    model->train();
    const torch::Tensor z = model->fuse(model->branches(bevfusion::testing::random_input(config, 1)));
    const bevfusion::DetectionLosses losses =
        detection_loss(model, model->say_as<bevfusion::Detections>("detection", z), {{car}}, options);
    return torch::cat(
        {losses.total.view({1}), losses.velocity.view({1}), model->say_as<torch::Tensor>("segmentation", z).flatten()});
  };
  bevfusion::DetectionLossOptions options;
  options.code = {1, 1, 1, 1, 0.2};
  CHECK(torch::equal(run(standard, {}), run(named, options)));
  CHECK((standard.centre_limits.x == 61.2 && standard.centre_limits.y == 61.2 && standard.centre_limits.z == 10));
  CHECK(bevfusion::standard_boxes().front().moving_speed == 0.2);
}

TEST_CASE("a missing sensor saw black pictures or no point", "[bevfusion][model]") {
  const bevfusion::ModelConfig config = bevfusion::tiny_model();
  torch::manual_seed(7);
  const auto input = bevfusion::testing::random_input(config, 2);
  const auto dark = bevfusion::without_input(input, "camera");
  REQUIRE(dark.images.sizes() == input.images.sizes());
  // ImageNet's mean and deviation, undone: a value of 0 in every channel.
  const float mean[] = {0.485F, 0.456F, 0.406F};
  const float deviation[] = {0.229F, 0.224F, 0.225F};
  for (std::int64_t c = 0; c < 3; ++c) {
    CHECK((dark.images.select(2, c) * deviation[c] + mean[c]).abs().max().item<float>() < 1e-6F);
  }
  CHECK(dark.clouds[0].size(0) == input.clouds[0].size(0));
  CHECK(input.images.abs().max().item<float>() > 0.1F);
  CHECK_FALSE(torch::equal(dark.images, input.images));  // what was given is left as it was
  const auto empty = bevfusion::without_input(input, "lidar");
  CHECK((empty.clouds[0].size(0) == 0 && empty.clouds[1].size(0) == 0 && empty.clouds[0].size(1) == 5));
  CHECK_THROWS_AS(bevfusion::without_input(input, "radar"), std::invalid_argument);
  // Both LiDAR branches bear clouds without a point.
  for (const char* lidar : {"voxel_net", "pillars"}) {
    INFO(lidar);
    bevfusion::ModelConfig one = config;
    one.lidar_backbone = lidar;
    bevfusion::BevFusion model(one);
    model->eval();
    const torch::NoGradGuard no_grad;
    const torch::Tensor map = model->branches(empty)[0];
    CHECK(torch::isfinite(map).all().item<bool>());
    CHECK(map.sizes() == model->branches(input)[0].sizes());
  }
}

}  // namespace
