// SPDX-License-Identifier: Apache-2.0
// The real key frame through loader, full-size network and one calibrated training step.
#include <cmath>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "bevfusion/losses/detection_loss.hpp"
#include "bevfusion/losses/segmentation_loss.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/bev_fusion.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

namespace {

/// One step of plain SGD; returns the detection and segmentation losses before it.
std::pair<double, double> train_step(bevfusion::BevFusion& model, fuller::Calibration& calibration, const bevfusion::Batch& batch,
                                     double learning_rate) {
  const auto maps = calibration.gate(model->branches(batch.input), model->fusion_weight());
  const auto z = calibration.fork(model->fuse(maps), {model->last_shared()});
  const auto detection = bevfusion::detection_loss(model->say_as<bevfusion::Detections>("detection", z[0]), batch.boxes,
                                                   bevfusion::BoxCoder{model->config().bev_grid()});
  const torch::Tensor segmentation =
      bevfusion::segmentation_loss(model->say_as<torch::Tensor>("segmentation", z[1]), batch.masks, batch.labelled);
  torch::optim::SGD optimizer(model->parameters(), learning_rate);
  optimizer.zero_grad();
  calibration.sum({detection.total, segmentation}).backward();
  for (const auto& parameter : model->named_parameters()) {
    INFO(parameter.key());
    REQUIRE(parameter.value().grad().defined());
    CHECK(torch::isfinite(parameter.value().grad()).all().item<bool>());
  }
  optimizer.step();
  return {detection.total.item<double>(), segmentation.item<double>()};
}

void run(const bevfusion::ModelConfig& config) {
  const std::filesystem::path root = bevfusion::testing::real_key_frame();
  if (root.empty()) FULLER_SKIP("no real nuScenes key frame here (FULLER_NUSCENES_KEYFRAME names its folder)");
  const bevfusion::Tables tables = bevfusion::read_tables(root, "v1.0-mini");
  bevfusion::LoadingOptions options = bevfusion::loading_options(config);
  options.augment = false;
  const bevfusion::SampleLoader loader(tables, options);
  const bevfusion::Batch batch = bevfusion::collate({loader.load(0, 0)});
  REQUIRE(batch.labelled.any().item<bool>());

  torch::manual_seed(1);
  bevfusion::BevFusion model(config);
  fuller::Calibration calibration(fuller::IMTL_G(), {"detection", "segmentation"});
  calibration.modalities(fuller::ModalityGate(), model->modalities());
  const auto [detection, segmentation] = train_step(model, calibration, batch, 1e-3);
  CHECK(std::isfinite(detection));
  CHECK(std::isfinite(segmentation));
  const auto seen = calibration.diagnostics();
  CHECK(seen.gamma_task > 1);
  CHECK(seen.gamma_task_weighted == Approx(1.0).epsilon(1e-9));
  CHECK(seen.gamma_modal >= 1);
}

TEST_CASE("the real key frame trains the tiny model for a step", "[bevfusion][real]") { run(bevfusion::tiny_model()); }

TEST_CASE("the real key frame trains the full model for a step", "[.slow][bevfusion][real]") { run(bevfusion::full_model()); }

}  // namespace
