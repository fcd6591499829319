// SPDX-License-Identifier: Apache-2.0
// Rules and gates as the last block of a reduction runs them: on 32 lanes, with the scratch in shared memory, with all state in
// place. The host's own call on the same evidence is the oracle; lanes may not change a bit.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/kernel_launcher.hpp"
#include "support/known.hpp"
#include "support/rule_steps.hpp"

namespace {

using namespace fuller::cuda;
using namespace fuller::testing;
using fuller::Condition;
using fuller::Weighting;
using fuller::WeightingOptions;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

RuleStep without(std::uint64_t tasks) {
  RuleStep step;
  step.absent = tasks;
  return step;
}

RuleStep alike(RuleStep::Likeness gradients) {
  RuleStep step;
  step.gradients = gradients;
  return step;
}

/// Calls f(rule) with every known rule, made for so many tasks, and with a schedule whose phase changes between steps.
template <class F>
void for_every_known_rule(int tasks, const F& f) {
  fuller::testing::for_every_known_rule(tasks, f);
  fuller::PhaseScheduleOptions phases;
  phases.epochs = 3;
  phases.phases[0] = {0.5, 1, 0.9};
  phases.phases[1] = {1, -1};
  phases.count = 2;
  f(fuller::WPCGrad(fuller::PhaseSchedule(phases)));
}

TEST_CASE("rules in the reduction's last block", "[cuda][rules]") {
  for (const int T : {2, 3, 5}) {
    for_every_known_rule(T, [T](const auto& rule) { RuleSteps(rule, T, 2500).check({{}, T > 2 ? without(2) : RuleStep(), {}}); });
  }
  for (const int T : {4, 8}) {
    for_every_known_rule(T, [T](const auto& rule) { check_rule(rule, T, {{}, without(2), {}, {}}); });
  }
  for (const int T : {40, 64}) {  // the scratch is larger than the shared memory
    for_every_known_rule(T, [T](const auto& rule) { check_rule(rule, T, {{}, without(2)}); });
  }
  for_every_known_rule(3, [](const auto& rule) {
    check_rule_by_itself(rule, 3, {{}, {}, {}});
    check_rule(rule, 3, {{}, without(5), without(7), {}});
  });
  for_every_known_rule(40, [](const auto& rule) { check_rule_by_itself(rule, 40, {{}}); });
}

TEST_CASE("rules in the last block where gradients and losses are not finite, zero or absent", "[cuda][rules]") {
  RuleStep nan_gradient;
  RuleStep infinite_gradient;
  RuleStep zero_gradient;
  RuleStep nan_loss;
  RuleStep zero_alone = without(6);
  nan_gradient.nan_gradient = 1;
  infinite_gradient.infinite_gradient = 0;
  zero_gradient.zero_gradient = 2;
  nan_loss.nan_loss = 1;
  zero_alone.zero_gradient = 0;
  const std::vector<RuleStep> steps{{},       nan_gradient, {},         infinite_gradient, zero_gradient,
                                    nan_loss, without(5),   without(7), zero_alone,        {}};
  for (const auto policy : {fuller::NonFinite::propagate, fuller::NonFinite::skip, fuller::NonFinite::throw_error}) {
    WeightingOptions options;
    options.non_finite = policy;
    INFO("policy " << static_cast<int>(policy));
    for_every_known_rule(3, [&](const auto& rule) { check_rule(rule, 3, steps, options); });
  }
}

TEST_CASE("rules in the last block under static weights and for tasks that are missing", "[cuda][rules]") {
  for (const auto missing : {fuller::Missing::renormalise, fuller::Missing::hold}) {
    WeightingOptions options;
    options.before = {1, 5, 10};
    options.after = {2, 1, 0.5};
    options.missing = missing;
    for_every_known_rule(3, [&](const auto& rule) { check_rule(rule, 3, {{}, without(5), without(2), {}, {}}, options); });
  }
}

TEST_CASE("rules in the last block under loss stages", "[cuda][rules]") {
  RuleStep zero_gradient;
  RuleStep nan_loss;
  zero_gradient.zero_gradient = 2;
  nan_loss.nan_loss = 1;
  const std::vector<RuleStep> steps{{}, zero_gradient, nan_loss, without(5), {}};
  for (const auto stage : {fuller::LossStage::log, fuller::LossStage::initial, fuller::LossStage::loss_plus}) {
    WeightingOptions options;
    options.stage = stage;
    options.before = {1, 5, 10};
    options.non_finite = fuller::NonFinite::skip;
    INFO("stage " << static_cast<int>(stage));
    for_every_known_rule(3, [&](const auto& rule) { check_rule(rule, 3, steps, options); });
  }
}

template <class Rule>
void check_options(const Rule& rule) {
  const RuleStep alone = without(6);
  const RuleStep equal = alike(RuleStep::equal);
  RuleStep no_gram;
  no_gram.no_gram = true;
  check_rule(rule, 3, {{}, equal, {}, alone, alike(RuleStep::parallel), without(2), alone, {}, equal, {}});
  for (const int T : {2, 3, 4}) check_rule_by_itself(rule, T, {no_gram, {}, no_gram});
}

TEST_CASE("options of rules in the last block, with gradients that depend on each other and tasks alone", "[cuda][rules]") {
  using Negative = fuller::IMTL_G_Options::Negative;
  for (const auto negative : {Negative::signed_shared, Negative::clamp, Negative::paper}) {
    fuller::IMTL_G_Options options;
    options.negative = negative;
    options.sum = negative == Negative::clamp ? fuller::WeightSum::tasks : fuller::WeightSum::one;
    check_options(fuller::IMTL_G(options));
  }
  using Optimizer = fuller::GradNormOptions::Optimizer;
  for (const auto optimizer : {Optimizer::sgd, Optimizer::adam}) {
    for (const double alpha : {0.0, 1.5}) {
      fuller::GradNormOptions options;
      options.optimizer = optimizer;
      options.alpha = alpha;
      options.floor = alpha == 0 ? 0.9 : 1e-3;
      options.use = alpha == 0 ? fuller::GradNormOptions::Use::updated : fuller::GradNormOptions::Use::before_update;
      check_options(fuller::GradNorm(options));
    }
  }
  fuller::PCGradOptions seeded;
  seeded.seed = 12345678901234567U;
  check_options(fuller::PCGrad(seeded));
  fuller::WPCGradOptions literal;
  literal.literal_algorithm_2 = true;
  check_options(fuller::WPCGrad(literal));
  fuller::DTPOptions prioritised;
  prioritised.gamma = 0;
  check_options(fuller::WPCGrad(fuller::DTP(prioritised)));
}

TEST_CASE("a rule that compares no gradients runs by itself", "[cuda][rules]") {
  const Weighting<fuller::DWA> weighting;
  std::vector<double> state(static_cast<std::size_t>(weighting.state_size(2)));
  weighting.initialise(2, state.data());
  std::vector<double> scratch(static_cast<std::size_t>(rule_scratch(weighting, 2)));
  double losses[] = {1, 2};
  double shared[2];
  double heads[2];
  Condition conditions[2];
  std::int64_t counters[] = {0, 0};
  RuleCall call;
  call.number = rule_number<fuller::DWA>;
  call.tasks = 2;
  call.present = 3;
  call.weighting = &weighting;
  call.losses = losses;
  call.counters = counters;
  call.state = state.data();
  call.shared = shared;
  call.heads = heads;
  call.conditions = conditions;
  call.scratch = scratch.data();
  REQUIRE(submit(call, KernelLauncher()) == Outcome::done);
  REQUIRE(shared[0] == 1);  // before two epochs are over all weigh the same
  REQUIRE(shared[1] == 1);
  REQUIRE(counters[0] == 1);
  struct Own {};
  REQUIRE(rule_number<Own> == -1);
  REQUIRE(gate_number<Own> == -1);
}

/// A gate law in the last block of the slices' norms, and by itself, against the host's call on the norms that came out.
template <class Law>
void check_gate(const Law& law, const std::vector<std::int64_t>& widths) {
  INFO(Law::name << ", " << widths.size() << " branches");
  const auto M = static_cast<int>(widths.size());
  std::int64_t channels = 0;
  for (const std::int64_t width : widths) channels += width;
  GateCall call;
  call.number = gate_number<Law>;
  call.law = &law;
  call.branches = M;
  std::vector<std::uint8_t> mask;
  for (int m = 0; m < M; ++m) {
    const std::int64_t width = widths[static_cast<std::size_t>(m)];
    mask.push_back(width > 0 ? 1 : 0);
    if (width > 0) call.present |= std::uint64_t{1} << static_cast<unsigned>(m);
    call.sizes[m] = static_cast<double>(width * 36);
  }
  std::vector<double> state(static_cast<std::size_t>(law.state_size(M)));
  law.initialise(M, state.data());
  std::vector<double> host_state = state;
  std::vector<double> scales(widths.size(), nan);
  std::vector<double> norms(widths.size(), nan);
  std::vector<double> scratch(static_cast<std::size_t>(gate_scratch(law, M)), nan);
  std::vector<double> workspace(static_cast<std::size_t>(norm_workspace(4 * channels * 9)), nan);
  workspace[0] = 0;
  std::vector<double> scores(widths.size());
  call.squared_norms = norms.data();
  call.scores = scores.data();
  call.state = state.data();
  call.scales = scales.data();
  call.scratch = scratch.data();
  for (unsigned step = 0; step < 4; ++step) {
    std::vector<float> weight = normal_numbers<float>(4 * channels * 9, step, 0.5);
    if (step == 1) std::fill(weight.begin(), weight.begin() + 4, 100.0F);  // the first slice is by far the largest
    const std::vector<double> drawn = normal_numbers<double>(M, step + 7, 0.5);
    std::copy(drawn.begin(), drawn.end(), scores.begin());
    if (step == 2) weight[0] = std::numeric_limits<float>::quiet_NaN();
    NormRequest request;
    request.weight = weight.data();
    request.outer = 4;
    request.widths = widths.data();
    request.slices = M;
    request.inner = 9;
    request.squared_norms = norms.data();
    request.workspace = workspace.data();
    request.gate = step == 3 ? GateCall() : call;  // in the last block, or by itself
    REQUIRE(submit(request, KernelLauncher()) == Outcome::done);
    if (step == 3) REQUIRE(submit(call, KernelLauncher()) == Outcome::done);

    std::vector<double> host_scales(widths.size(), nan);
    std::vector<double> host_scratch(static_cast<std::size_t>(law.scratch_size(M)), nan);
    fuller::BranchEvidence<> evidence;
    evidence.count = M;
    evidence.squared_norms = norms.data();
    evidence.sizes = call.sizes;
    evidence.scores = scores.data();
    evidence.present = mask.data();
    law(fuller::Serial{}, evidence, host_state.data(), host_scales.data(), host_scratch.data());
    require_near(scales, host_scales, rule_tolerance<Law>(), "scales");
    require_near(state, host_state, rule_tolerance<Law>(), "state");
    host_state = state;
  }
}

TEST_CASE("every known gate law in the last block of the slices' norms", "[cuda][rules]") {
  const std::vector<std::int64_t> two{3, 5};
  const std::vector<std::int64_t> ten{1, 2, 0, 1, 3, 1, 2, 1, 4, 1};
  for (const auto& widths : {two, ten}) {
    for_every_known_gate([&](const auto& law) { check_gate(law, widths); });
    fuller::MLBOptions by_scores;
    by_scores.evidence = fuller::GateEvidence::scores;
    check_gate(fuller::MLB(by_scores), widths);
    for (const auto norm : {fuller::GateNorm::l2, fuller::GateNorm::rms}) {
      for (const auto shape : {fuller::GateShape::paper, fuller::GateShape::continuous}) {
        fuller::ModalityGateOptions options;
        options.norm = norm;
        options.shape = shape;
        check_gate(fuller::ModalityGate(options), widths);
      }
    }
  }
}

}  // namespace
