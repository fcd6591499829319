// SPDX-License-Identifier: Apache-2.0
// The tasks of a config and the calibration made from it.
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/config/run_config.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

TEST_CASE("a run's tasks and their static weights follow from its parts", "[bevfusion][config]") {
  using Names = std::vector<std::string>;
  RunConfig config = run_of_size("tiny");
  config.losses.weights["segmentation"] = 5;
  CHECK(task_names(config) == Names{"detection", "segmentation"});
  CHECK(task_weights(config) == std::vector<double>{1, 5});
  config.model.parts.tasks["foreground"] = true;
  config.losses.tasks = "split_detection";
  config.losses.weights["detection"] = 2;
  CHECK(task_names(config) == Names{"box", "classification", "velocity", "segmentation", "foreground"});
  CHECK(task_weights(config) == std::vector<double>{2, 2, 2, 5, 1});
  config.model.parts.tasks["detection"] = false;
  CHECK(task_names(config) == Names{"segmentation", "foreground"});
}

/// The gradient of a shared weight w and of two heads a, b under L_1 = a w, L_2 = 3 b w at w = a = b = 1.
struct Gradients {
  double shared, first, second;
};
Gradients gradients_under(const RunConfig& config) {
  auto calibration = make_calibration(config, {"lidar", "camera"});
  REQUIRE(calibration);
  const auto trained = torch::TensorOptions(torch::kDouble).requires_grad(true);
  const torch::Tensor w = torch::ones({1, 1}, trained);
  const torch::Tensor a = torch::ones({1}, trained);
  const torch::Tensor b = torch::ones({1}, trained);
  const torch::Tensor z = torch::linear(torch::ones({1, 1}, torch::kDouble), w);
  const auto forked = calibration->fork<2>(z, {w});
  calibration->sum({(a * forked[0]).sum(), (3 * b * forked[1]).sum()}).backward();
  return {w.grad().item<double>(), a.grad().item<double>(), b.grad().item<double>()};
}

TEST_CASE("static weights stand before the rule", "[bevfusion][config]") {
  RunConfig config = run_of_size("tiny");
  config.calibration.gate = "none";
  config.losses.weights["segmentation"] = 5;
  // Plain sum of L_1 + 5 L_2: dL/dw = 1 + 5 x 3, heads 1 and 15.
  config.calibration.rule = "uniform";
  const Gradients uniform = gradients_under(config);
  CHECK(uniform.shared == Approx(16));
  CHECK(uniform.first == Approx(1));
  CHECK(uniform.second == Approx(15));
  // IMTL-G sees gradients 1 and 15: weights 15/16 and 1/16 of the weighted losses make both 15/16, so the static ratio cancels in
  // the direction; without it gradients 1 and 3 get 3/4 and 1/4.
  config.calibration.rule = "imtl_g";
  CHECK(gradients_under(config).first == Approx(15.0 / 16));
  CHECK(gradients_under(config).second == Approx(15.0 / 16));
  config.losses.weights["segmentation"] = 1;
  CHECK(gradients_under(config).first == Approx(3.0 / 4));
  CHECK(gradients_under(config).second == Approx(3.0 / 4));
  // Projections are published for shared parameters alone; there is no conflict here.
  config.calibration.rule = "pcgrad";
  config.losses.weights["segmentation"] = 5;
  CHECK(gradients_under(config).shared == Approx(16));
}

TEST_CASE("static weights stand after the rule where that is asked for", "[bevfusion][config]") {
  RunConfig config = run_of_size("tiny");
  config.calibration.gate = "none";
  config.losses.weights["segmentation"] = 5;
  config.losses.static_weights = "after";
  // IMTL-G sees gradients 1 and 3: weights 3/4 and 1/4, the second of which is then 5/4. Nothing cancels.
  config.calibration.rule = "imtl_g";
  const Gradients after = gradients_under(config);
  CHECK(after.first == Approx(3.0 / 4));
  CHECK(after.second == Approx(5.0 / 4 * 3));
  CHECK(after.shared == Approx(3.0 / 4 + 5.0 / 4 * 3));
  // Where nothing is calibrated it is the same sum.
  config.calibration.rule = "uniform";
  CHECK(gradients_under(config).shared == Approx(16));
  CHECK(gradients_under(config).second == Approx(15));
}

TEST_CASE("every rule and gate that a config can name is made", "[bevfusion][config]") {
  RunConfig config = run_of_size("tiny");
  config.calibration.gate = "none";
  config.calibration.rule = "none";
  CHECK_FALSE(make_calibration(config, {"lidar", "camera"}));
  for (const char* rule : {"uniform", "imtl_g", "gradnorm", "dwa", "pcgrad", "wpcgrad"}) {
    for (const char* gate : {"none", "measure", "gradient", "update"}) {
      INFO(rule << ", " << gate);
      config.calibration.rule = rule;
      config.calibration.gate = gate;
      CHECK(make_calibration(config, {"lidar", "camera"}));
    }
  }
  config.losses.tasks = "split_detection";
  for (const char* priorities : {"dtp", "seg_to_vel", "vel_to_seg"}) {
    config.calibration.priorities = priorities;
    CHECK(make_calibration(config, {"lidar", "camera"}));
  }
  CHECK(surface_of(config.calibration) == fuller::Surface::all_shared);
  config.calibration.rule = "magic";
  CHECK_THROWS_AS(make_calibration(config, {}), std::invalid_argument);
}

}  // namespace
