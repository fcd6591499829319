// SPDX-License-Identifier: Apache-2.0
// Rules and gates as the last block of a reduction runs them: on 32 lanes, with the scratch in shared memory, with all state in
// place. The host's own call on the same evidence is the oracle; lanes may not change a bit.

#include <cstdint>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/emulated_launcher.hpp"

namespace {

using namespace fuller::cuda;
using namespace fuller::testing;
using fuller::Condition;
using fuller::Weighting;

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

template <class Rule>
void check_rule(const Rule& rule, int T, const fuller::WeightingOptions& options = {}) {
  const Weighting<Rule> weighting(rule, options);
  const auto count = static_cast<std::size_t>(T);
  std::vector<double> state(static_cast<std::size_t>(weighting.state_size(T)));
  weighting.initialise(T, state.data());
  std::vector<double> host_state = state;
  std::vector<double> host_scratch(static_cast<std::size_t>(weighting.scratch_size(T)));
  std::vector<double> scratch(static_cast<std::size_t>(rule_scratch(weighting, T)), nan);
  std::vector<double> workspace(static_cast<std::size_t>(gram_workspace(T, 1, 2500)), nan);
  workspace[0] = 0;
  std::vector<double> gram(count * count, nan);
  std::vector<double> shared(count, nan);
  std::vector<double> heads(count, nan);
  std::vector<Condition> conditions(count, Condition::absent);
  std::int64_t counters[] = {11, 3};
  const double loss_scale = -8;

  for (unsigned step = 0; step < 3; ++step) {
    std::vector<std::vector<float>> gradients;
    std::vector<TensorView> views;
    std::vector<double> losses;
    const Layout layout = row(2500);
    for (unsigned i = 0; i < count; ++i) {
      gradients.push_back(normal_numbers<float>(2500, 100 * step + i, i % 2 == 0 ? 0.2 : -0.1, 1.0 + i));
      losses.push_back(0.5 + 0.1 * i + 0.01 * step);
    }
    std::uint64_t present = T == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << static_cast<unsigned>(T)) - 1;
    if (step == 1 && T > 2) present &= ~std::uint64_t{2};
    for (unsigned i = 0; i < count; ++i) {
      views.push_back(layout.view((present >> i & 1U) != 0 ? gradients[i].data() : nullptr));
    }
    const TensorLists part{views.data(), 1, T, Element::float32};
    GramRequest request;
    request.parts = &part;
    request.part_count = 1;
    request.tasks = T;
    request.gram = gram.data();
    request.workspace = workspace.data();
    RuleCall& call = request.rule;
    call.number = rule_number<Rule>;
    call.tasks = T;
    call.present = present;
    call.weighting = &weighting;
    call.gram = gram.data();
    call.losses = losses.data();
    call.loss_scale = &loss_scale;
    call.counters = counters;
    call.state = state.data();
    call.shared = shared.data();
    call.heads = heads.data();
    call.conditions = conditions.data();
    call.scratch = scratch.data();
    REQUIRE(submit(request, EmulatedLauncher(step % 2 == 0 ? Turns::rising : Turns::falling)) == Outcome::done);
    REQUIRE(counters[0] == 12 + step);
    REQUIRE(counters[1] == 3);

    std::vector<std::uint8_t> mask;
    for (unsigned i = 0; i < count; ++i) mask.push_back(static_cast<std::uint8_t>(present >> i & 1U));
    std::vector<double> host_shared(count, nan);
    std::vector<double> host_heads(count, nan);
    std::vector<Condition> host_conditions(count, Condition::absent);
    fuller::Evidence<> evidence;
    evidence.count = T;
    evidence.gram = gram.data();
    evidence.losses = losses.data();
    evidence.present = mask.data();
    evidence.step = 11 + step;
    evidence.epoch = 3;
    evidence.loss_scale = 8;
    weighting(fuller::Serial{}, evidence, host_state.data(), {host_shared.data(), host_heads.data(), host_conditions.data()},
              host_scratch.data());
    INFO(Rule::name << ", T = " << T << ", step " << step);
    REQUIRE(shared == host_shared);
    REQUIRE(heads == host_heads);
    REQUIRE(conditions == host_conditions);
    REQUIRE(state == host_state);
  }
}

template <class Rule>
void check_sizes(const Rule& rule) {
  for (const int T : {2, 3, 5, 40}) check_rule(rule, T);  // the scratch of 40 tasks is larger than the shared memory
}

TEST_CASE("rules in the reduction's last block", "[cuda]") {
  check_sizes(fuller::Uniform());
  check_sizes(fuller::IMTL_G());
  check_sizes(fuller::GradNorm());
  check_sizes(fuller::DWA());
  check_sizes(fuller::PCGrad());
  check_sizes(fuller::WPCGrad());
  fuller::PhaseScheduleOptions phases;
  phases.epochs = 10;
  phases.phases[0] = {0.5, 1, 0.9};
  phases.phases[1] = {1, -1};
  phases.count = 2;
  check_sizes(fuller::WPCGrad(fuller::PhaseSchedule(phases)));
  check_rule(fuller::Constant{fuller::TaskVector{1, 5, 10}}, 3);
  fuller::WeightingOptions options;
  options.before = {1, 5, 10};
  options.after = {2, 1, 0.5};
  options.missing = fuller::Missing::renormalise;
  check_rule(fuller::IMTL_G(), 3, options);
  check_rule(fuller::GradNorm(), 3, options);
}

TEST_CASE("a rule that compares no gradients runs by itself", "[cuda]") {
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
  REQUIRE(submit(call, EmulatedLauncher()) == Outcome::done);
  REQUIRE(shared[0] == 1);  // before two epochs are over all weigh the same
  REQUIRE(shared[1] == 1);
  REQUIRE(counters[0] == 1);
  struct Own {};
  REQUIRE(rule_number<Own> == -1);
}

TEST_CASE("the gate behind the slices' norms", "[cuda]") {
  for (const std::vector<std::int64_t>& widths :
       {std::vector<std::int64_t>{3, 5}, std::vector<std::int64_t>{1, 2, 0, 1, 3, 1, 2, 1, 4, 1}}) {
    const auto M = static_cast<int>(widths.size());
    std::int64_t channels = 0;
    for (const std::int64_t width : widths) channels += width;
    GateCall call;
    call.given = true;
    call.branches = M;
    for (int m = 0; m < M; ++m) {
      if (widths[static_cast<std::size_t>(m)] > 0) call.present |= std::uint64_t{1} << static_cast<unsigned>(m);
      call.sizes[m] = static_cast<double>(widths[static_cast<std::size_t>(m)] * 36);
    }
    std::vector<double> state(widths.size(), 1.0);
    std::vector<double> host_state = state;
    std::vector<double> scales(widths.size(), nan);
    std::vector<double> norms(widths.size(), nan);
    std::vector<double> scratch(static_cast<std::size_t>(gate_scratch(call.gate, M)));
    std::vector<double> workspace(static_cast<std::size_t>(norm_workspace(4 * channels * 9)), nan);
    workspace[0] = 0;
    call.squared_norms = norms.data();
    call.state = state.data();
    call.scales = scales.data();
    call.scratch = scratch.data();
    for (unsigned step = 0; step < 3; ++step) {
      const std::vector<float> weight = normal_numbers<float>(4 * channels * 9, step, 0.5);
      NormRequest request;
      request.weight = weight.data();
      request.outer = 4;
      request.widths = widths.data();
      request.slices = M;
      request.inner = 9;
      request.squared_norms = norms.data();
      request.workspace = workspace.data();
      request.gate = call;
      REQUIRE(submit(request, EmulatedLauncher()) == Outcome::done);

      std::vector<std::uint8_t> mask;
      std::vector<double> host_scales(widths.size(), nan);
      std::vector<double> host_scratch(widths.size());
      for (const std::int64_t width : widths) mask.push_back(width > 0 ? 1 : 0);
      fuller::BranchEvidence<> evidence;
      evidence.count = M;
      evidence.squared_norms = norms.data();
      evidence.sizes = call.sizes;
      evidence.present = mask.data();
      call.gate(fuller::Serial{}, evidence, host_state.data(), host_scales.data(), host_scratch.data());
      REQUIRE(scales == host_scales);
      REQUIRE(state == host_state);
    }
  }
}

}  // namespace
