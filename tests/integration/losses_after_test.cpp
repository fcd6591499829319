// SPDX-License-Identifier: Apache-2.0
// FAMO's second forward by one call: the calibration's weights are those of the rule that was shown the same losses.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::FAMO;

namespace {

const std::vector<std::string> two_tasks{"a", "b"};

/// A step with these losses, by one parameter.
void step_with(Calibration& calibration, const std::vector<double>& losses) {
  const Tensor w = torch::ones({2}, torch::kDouble).requires_grad_();
  const auto z = calibration.fork<2>(torch::mv(torch::eye(2, torch::kDouble), w));
  calibration.sum({z[0][0] * losses[0], z[1][1] * losses[1]}).backward();
}

Tensor scalar(double value) { return torch::tensor(value, torch::kDouble); }

/// The rule by itself.
struct ByItself {
  FAMO rule;
  std::vector<double> state = std::vector<double>(static_cast<std::size_t>(rule.state_size(2)));
  std::vector<double> weights = {0, 0};
  std::vector<double> scratch = std::vector<double>(6);

  ByItself() { rule.initialise(2, state.data()); }
  fuller::Evidence<> seen(const std::vector<double>& losses, std::int64_t number) const {
    static const std::uint8_t present[] = {1, 1};
    fuller::Evidence<> evidence;
    evidence.count = 2;
    evidence.losses = losses.data();
    evidence.present = present;
    evidence.step = number;
    return evidence;
  }
};

}  // namespace

TEST_CASE("Losses after a step reach the rule, wherever it runs, with static weights and over ranks", "[cuda]") {
  const std::vector<std::vector<double>> before{{2, 3}, {1.5, 2.5}, {1, 2.4}};
  const std::vector<std::vector<double>> after{{1.6, 2.9}, {1.2, 2.6}};
  ByItself right;
  for (std::size_t k = 0; k < before.size(); ++k) {
    right.rule(fuller::Serial{}, right.seen(before[k], static_cast<std::int64_t>(k)), right.state.data(), right.weights.data(),
               right.scratch.data());
    if (k < after.size()) {
      right.rule.after_step(right.seen(after[k], static_cast<std::int64_t>(k) + 1), right.state.data(), right.scratch.data());
    }
  }
  for (const int way : {-1, static_cast<int>(Way::kernels), static_cast<int>(Way::host_rule)}) {
    for (const bool on_ranks : {false, true}) {
      INFO("way " << way << (on_ranks ? ", ranks" : ""));
      CalibrationOptions options;
      if (on_ranks) {  // alike, so that means are what is there
        options.ranks.count = 2;
        options.ranks.average = [](std::vector<Tensor>&) {};
      }
      Calibration calibration(FAMO(), two_tasks, options);
      if (way >= 0) {
        calibration.use(steps_by(static_cast<Way>(way)));
      }
      for (std::size_t k = 0; k < before.size(); ++k) {
        step_with(calibration, before[k]);
        if (k < after.size()) {
          calibration.losses_after({scalar(after[k][0]), scalar(after[k][1])});
        }
      }
      const auto weights = calibration.diagnostics().weights;
      CHECK(weights[0] == Approx(right.weights[0]).epsilon(1e-9));
      CHECK(weights[1] == Approx(right.weights[1]).epsilon(1e-9));
      CHECK(calibration.steps() == 3);
    }
  }
}

TEST_CASE("Losses after a step are refused where nobody learns from them, and read by no NaN", "[cuda]") {
  Calibration other(fuller::DWA(), two_tasks);
  CHECK(contains(thrown_by([&] { other.losses_after({scalar(1), scalar(1)}); }), "'DWA' does not"));
  CalibrationOptions staged;
  staged.stage = fuller::LossStage::initial;
  Calibration with_stage(FAMO(), two_tasks, staged);
  CHECK(contains(thrown_by([&] { with_stage.losses_after({scalar(1), scalar(1)}); }), "LossStage::none"));
  Calibration calibration(FAMO(), two_tasks);
  step_with(calibration, {1, 2});
  CHECK(contains(thrown_by([&] { calibration.losses_after({scalar(1)}); }), "1 losses for 2 tasks"));
  CHECK(contains(thrown_by([&] { calibration.losses_after({torch::ones({2}), scalar(1)}); }), "a scalar is needed"));
  // Left out: the other is alone then, and nothing can be learnt of one.
  calibration.losses_after({scalar(std::nan("")), scalar(1)});
  step_with(calibration, {1, 2});
  Calibration plain(FAMO(), two_tasks);
  step_with(plain, {1, 2});
  calibration.losses_after({Tensor(), Tensor()});
  step_with(plain, {1, 2});
  CHECK(std::isfinite(calibration.diagnostics().weights[0]));
  CHECK(calibration.diagnostics().weights[0] == Approx(plain.diagnostics().weights[0]).epsilon(1e-12));
}

TEST_CASE("Losses after a step in which weights were held teach nothing; after one in which the rule was asked, all", "[cuda]") {
  CalibrationOptions options;
  options.every = 2;
  std::vector<std::vector<double>> weights;
  for (const int calls : {0, 1, 2}) {  // none; after the first step; after the second, too
    Calibration calibration(FAMO(), two_tasks, options);
    for (int k = 0; k < 3; ++k) {
      step_with(calibration, {2.0 - 0.1 * k, 3.0 - 0.5 * k});
      if (k < calls) {
        calibration.losses_after({scalar(1.0), scalar(2.9 - 2.0 * k)});
      }
    }
    weights.push_back(calibration.diagnostics().weights);
  }
  CHECK(weights[1] == weights[2]);
  CHECK(weights[0] != weights[1]);
}
