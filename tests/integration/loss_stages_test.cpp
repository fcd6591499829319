// SPDX-License-Identifier: Apache-2.0
// A loss stage in a whole backward equals a trainer who transforms the losses by hand, on the host, in a stream's order and by
// kernels; resumed; on several ranks; with a loss that it cannot take.
#include <cmath>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_engines.hpp>
#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/emulated_kernels.hpp"
#include "support/fusion.hpp"
#include "support/host_stream.hpp"
#include "support/meeting.hpp"
#include "support/multi_backward.hpp"
#include "support/pages.hpp"
#include "support/rank_threads.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::LossStage;

namespace {

const std::vector<LossStage> stages{LossStage::log, LossStage::initial, LossStage::l2, LossStage::loss, LossStage::loss_plus};

CalibrationOptions staged(LossStage stage) {
  CalibrationOptions options;
  options.apply_to = fuller::ApplyTo::all;
  options.surface = fuller::Surface::last_shared;
  options.stage = stage;
  return options;
}

/// A network of two tasks whose losses are far apart, trained by a calibration that has the stage, or by one that has none and is
/// given losses that were transformed here.
struct Trainer {
  Trainer(Calibration made, LossStage by_hand) : calibration(std::move(made)), stage(by_hand) {}

  std::vector<Tensor> losses(const std::vector<Tensor>& z) { return {net.loss(0, z[0]), 10 * net.loss(1, z[1])}; }

  /// What a loss becomes. The norm is that of its gradient at the weight of the last shared layer.
  Tensor transformed(std::size_t i, const Tensor& loss, double norm) {
    const Tensor value = loss.detach();
    first.resize(2);
    first[i] = first[i].defined() ? first[i] : value;
    switch (stage) {
      case LossStage::log:
        factors[i] = 1 / value.item<double>();
        return loss.log();
      case LossStage::initial:
        factors[i] = 1 / first[i].item<double>();
        return loss / first[i];
      case LossStage::l2:
        factors[i] = 1 / norm;
        return loss / norm;
      case LossStage::loss:
        factors[i] = 1 / value.item<double>();
        return loss / value;
      case LossStage::loss_plus:
        factors[i] = 1 / (norm * value.item<double>());
        return loss / (norm * value);
      default:
        return loss;
    }
  }

  void step() {
    clear(net.parameters());
    std::vector<double> norms(2);
    if (stage != LossStage::none) {
      const Tensor z = net.shared(net.fuse(net.features()));
      const std::vector<Tensor> plain = losses({z, z});
      for (std::size_t i = 0; i < 2; ++i) {
        norms[i] = gradient_of(plain[i], {net.trunk->parameters().front()}).front().norm().item<double>();
      }
    }
    std::vector<Tensor> all = losses(calibration.fork(net.shared(net.fuse(net.features()))));
    for (std::size_t i = 0; i < 2; ++i) {
      all[i] = transformed(i, all[i], norms[i]);
    }
    calibration.sum(all).backward();
  }
  void update() {
    const torch::NoGradGuard no_grad;
    for (const Tensor& parameter : net.parameters()) {
      Tensor(parameter).sub_(parameter.grad(), 0.02);
    }
  }

  Fusion net = make_fusion(FusionKind::linear, 2, true, false);
  Calibration calibration;
  LossStage stage;
  std::vector<Tensor> first;
  std::vector<double> factors{0, 0};
};

}  // namespace

TEST_CASE("A loss stage is what transforming the losses by hand is: gradients, weights, factors", "[cuda]") {
  HostStream stream;
  const auto in_stream = fuller::host_rules_on(at::kCPU, stream.launcher());
  const auto by_kernels = fuller::steps_on(at::kCPU, [] { return emulated_kernels; });
  const auto check = [&](const auto& rule) {
    for (const LossStage stage : stages) {
      for (const auto& engines : {fuller::detail::host_engines(), in_stream, by_kernels}) {
        INFO(std::decay_t<decltype(rule)>::name << ", stage " << static_cast<int>(stage));
        Trainer with_stage(Calibration(rule, {"one", "two"}, staged(stage)), LossStage::none);
        Trainer by_hand(Calibration(rule, {"one", "two"}, staged(LossStage::none)), stage);
        with_stage.calibration.use(engines);
        for (int k = 0; k < 3; ++k) {
          with_stage.step();
          by_hand.step();
          const Tensors expected = gradients_of(by_hand.net.parameters());
          CHECK(difference(gradients_of(with_stage.net.parameters()), expected) < 1e-11);
          const fuller::Diagnostics seen = with_stage.calibration.diagnostics();
          const fuller::Diagnostics plain = by_hand.calibration.diagnostics();
          REQUIRE(seen.stage_factors.size() == 2);
          CHECK(plain.stage_factors.empty());
          for (std::size_t i = 0; i < 2; ++i) {
            CHECK(seen.stage_factors[i] == Approx(by_hand.factors[i]).epsilon(1e-11));
            CHECK(seen.weights[i] == Approx(plain.weights[i] * by_hand.factors[i]).epsilon(1e-10));
          }
          with_stage.update();
          by_hand.update();
        }
        CHECK(with_stage.calibration.snapshot().diagnostics().stage_factors ==
              with_stage.calibration.diagnostics().stage_factors);
      }
    }
  };
  check(fuller::IMTL_G());
  check(fuller::GradNorm());
  check(fuller::Uniform());
}

TEST_CASE("Under a loss stage a run that is saved and loaded goes on bit for bit") {
  for (const LossStage stage : stages) {
    Trainer whole(Calibration(fuller::GradNorm(), {"one", "two"}, staged(stage)), LossStage::none);
    Trainer resumed(Calibration(fuller::GradNorm(), {"one", "two"}, staged(stage)), LossStage::none);
    whole.step();
    whole.update();
    Pages saved;
    whole.calibration.save(saved);
    resumed.calibration.load(saved);
    {
      const torch::NoGradGuard no_grad;
      const Tensors from = whole.net.parameters();
      Tensors to = resumed.net.parameters();
      for (std::size_t k = 0; k < to.size(); ++k) {
        to[k].copy_(from[k]);
      }
    }
    whole.step();
    resumed.step();
    CHECK(resumed.calibration.diagnostics().weights == whole.calibration.diagnostics().weights);
    CHECK(resumed.calibration.diagnostics().stage_factors == whole.calibration.diagnostics().stage_factors);
    // A calibration without the stage has fewer numbers to keep.
    Calibration other(fuller::GradNorm(), {"one", "two"});
    CHECK(contains(thrown_by([&] { other.load(saved); }), "made with the same rule and options"));
    // One with another stage has as many, which mean something else there: 1 / L of a step is no 1 / L(0).
    const LossStage another = stage == LossStage::initial ? LossStage::log : LossStage::initial;
    Calibration differs(fuller::GradNorm(), {"one", "two"}, staged(another));
    CHECK(contains(thrown_by([&] { differs.load(saved); }), "the loss stage of the saved calibration: '"));
  }
}

TEST_CASE("A loss that has no logarithm is refused or left out as other bad input is, and said so") {
  for (const auto policy : {fuller::NonFinite::throw_error, fuller::NonFinite::skip}) {
    CalibrationOptions options = staged(LossStage::log);
    options.non_finite = policy;
    Trainer trainer(Calibration(fuller::IMTL_G(), {"one", "two"}, options), LossStage::none);
    const auto z = trainer.calibration.fork<2>(trainer.net.shared(trainer.net.fuse(trainer.net.features())));
    const Tensor one = trainer.net.loss(0, z[0]);
    const Tensor two = trainer.net.loss(1, z[1]) - 1e3;
    const std::string said = thrown_by([&] { trainer.calibration.sum({one, two}).backward(); });
    if (policy == fuller::NonFinite::throw_error) {
      CHECK(contains(said, "task 'two'"));
      CHECK(contains(said, "<= 0 under a loss stage"));
    } else {
      const fuller::Diagnostics seen = trainer.calibration.diagnostics();
      CHECK(seen.conditions[1] == fuller::Condition::non_finite);
      CHECK(contains(seen.policy, "NonFinite::skip: 'two' has"));
      CHECK(contains(seen.policy, "a loss that the stage cannot take"));
      CHECK(seen.weights[0] == Approx(1 / one.item<double>()).epsilon(1e-12));
    }
  }
}

TEST_CASE("Under a loss stage several ranks have the weights of one with the whole batch") {
  const auto weights_of = [](LossStage stage, Meeting* meeting, int rank) {
    const Tensor batch = torch::linspace(-2, 2, 40, torch::kDouble).mul(7).cos().view({8, 5});
    const Tensor mine = meeting == nullptr ? batch : batch.narrow(0, 4 * rank, 4);
    CalibrationOptions options = staged(stage);
    if (meeting != nullptr) {
      options.ranks.count = 2;
      options.ranks.rank = rank;
      options.ranks.average = [meeting](Tensors& tensors) { meeting->average(tensors); };
    }
    Calibration calibration(fuller::IMTL_G(), {"one", "two"}, options);
    const Tensor weight = torch::linspace(-1, 1, 15, torch::kDouble).view({3, 5}).requires_grad_();
    std::vector<double> all;
    for (int k = 0; k < 2; ++k) {
      const auto z = calibration.fork<2>(torch::linear(mine * (k + 1), weight));
      calibration.sum({(z[0] - 1).pow(2).mean(), 50 * z[1].cos().pow(2).mean()}).backward();
      const fuller::Diagnostics seen = calibration.diagnostics();
      all.insert(all.end(), seen.weights.begin(), seen.weights.end());
      all.insert(all.end(), seen.stage_factors.begin(), seen.stage_factors.end());
    }
    return all;
  };
  for (const LossStage stage : stages) {
    INFO(static_cast<int>(stage));
    const std::vector<double> whole = weights_of(stage, nullptr, 0);
    Meeting meeting(2);
    std::vector<std::vector<double>> of_ranks(2);
    const auto thrown =
        in_threads(2, [&](int rank) { of_ranks[static_cast<std::size_t>(rank)] = weights_of(stage, &meeting, rank); });
    CHECK(thrown == std::vector<std::string>{"", ""});
    CHECK(of_ranks[0] == of_ranks[1]);
    REQUIRE(of_ranks[0].size() == whole.size());
    for (std::size_t k = 0; k < whole.size(); ++k) {
      CHECK(of_ranks[0][k] == Approx(whole[k]).epsilon(1e-10));
    }
  }
}
