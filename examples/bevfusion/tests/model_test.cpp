// SPDX-License-Identifier: Apache-2.0
// The whole network: published parameter counts, and one calibrated training step at the tiny size.
#include <cmath>
#include <numeric>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/losses/segmentation_loss.hpp"
#include "bevfusion/model/bev_fusion.hpp"
#include "bevfusion/tests/support/random_input.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::testing::random_input;

std::int64_t count(const std::vector<torch::Tensor>& parameters) {
  return std::accumulate(parameters.begin(), parameters.end(), std::int64_t{0},
                         [](std::int64_t sum, const torch::Tensor& parameter) { return sum + parameter.numel(); });
}

TEST_CASE("the full model has the parameters counted layer by layer", "[bevfusion][model]") {
  bevfusion::BevFusion model;
  // LiDAR 2 694 352; camera 27 520 506 + 1 591 296 + 35 723 + 173 280; fuser 774 656; SECOND and FPN 4 576 768.
  CHECK(count(model->branch_parameters(0)) == 2694352);
  CHECK(count(model->branch_parameters(1)) == 29320805);
  CHECK(count(model->parameters()) == 37366581 + 1034910 + 2695168);
  CHECK(model->fusion_weight().sizes() == at::IntArrayRef({256, 336, 3, 3}));
  CHECK(model->last_shared().sizes() == at::IntArrayRef({256, 256, 2, 2}));
  const auto slices = model->fusion_slices();
  CHECK((slices[0].first == 0 && slices[0].count == 256 && slices[1].first == 256 && slices[1].count == 80));
}

TEST_CASE("the smaller sizes are the same classes with the planned sizes", "[bevfusion][model]") {
  bevfusion::BevFusion small(bevfusion::small_model());
  CHECK(small->fusion_weight().sizes() == at::IntArrayRef({128, 176, 3, 3}));
  bevfusion::BevFusion tiny(bevfusion::tiny_model());
  CHECK(tiny->fusion_weight().sizes() == at::IntArrayRef({32, 48, 3, 3}));
  // What the sizes were planned with: 8.33 M, and 0.25 to 0.28 M.
  CHECK(std::llround(static_cast<double>(count(small->parameters())) / 1e4) == 833);
  CHECK(count(tiny->parameters()) > 250000);
  CHECK(count(tiny->parameters()) < 280000);
}

TEST_CASE("one calibrated step of the tiny model trains every parameter", "[bevfusion][model]") {
  torch::manual_seed(7);
  const bevfusion::ModelConfig config = bevfusion::tiny_model();
  bevfusion::BevFusion model(config);
  const auto input = random_input(config, 2);
  bevfusion::Box3D car;
  car.center = {5.0, -8.0, -1.0};
  car.size = {1.9, 4.6, 1.7};
  car.velocity = {3.0, 0.5};
  bevfusion::Box3D walker = car;
  walker.center = {-12.0, 3.0, -0.8};
  walker.size = {0.7, 0.7, 1.8};
  walker.label = bevfusion::DetectionClass::pedestrian;
  walker.velocity.setConstant(std::numeric_limits<double>::quiet_NaN());  // unknown: must not reach the loss

  fuller::Calibration calibration(fuller::IMTL_G(), {"detection", "segmentation"});
  calibration.modalities(fuller::ModalityGate(), model->modalities());
  const auto maps = calibration.gate(model->branches(input), model->fusion_weight());
  const auto z = calibration.fork(model->fuse(maps), {model->last_shared()});
  const auto detection = bevfusion::detection_loss(model->say_as<bevfusion::Detections>("detection", z[0]), {{car, walker}, {}},
                                                   bevfusion::BoxCoder{config.bev_grid()});
  const torch::Tensor masks = (torch::rand({2, 6, 50, 50}) < 0.2).to(torch::kFloat);
  const torch::Tensor segmentation =
      bevfusion::segmentation_loss(model->say_as<torch::Tensor>("segmentation", z[1]), masks, torch::ones({2, 6}));
  const torch::Tensor loss = calibration.sum({detection.total, segmentation});
  REQUIRE(std::isfinite(loss.item<double>()));
  loss.backward();

  for (const auto& parameter : model->named_parameters()) {
    INFO(parameter.key());
    REQUIRE(parameter.value().grad().defined());
    CHECK(torch::isfinite(parameter.value().grad()).all().item<bool>());
  }
  const auto seen = calibration.diagnostics();
  // For two tasks IMTL-G makes the weighted gradients equally long on shared_L, whatever the losses.
  CHECK(seen.gamma_task_weighted == Approx(1.0).epsilon(1e-10));
  CHECK(seen.weights[0] + seen.weights[1] == Approx(1.0).epsilon(1e-12));
  CHECK(seen.gates.size() == 2);
}

}  // namespace
