// SPDX-License-Identifier: Apache-2.0
// One call of each known rule under its policies, and of each gate law, on the host, with the number of tasks known at run time:
// microseconds, against the targets 0.3 us at T = 4 and, at T = 64, 15 us for IMTL-G and 250 us for PCGrad.
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <fuller/cuda/calls.hpp>

#include "tests/support/known.hpp"

namespace {

/// A step of T tasks whose gradients have a Gram matrix of full rank; nearly half of the pairs are in conflict.
struct Step {
  std::vector<double> gram;
  std::vector<double> losses;
  std::vector<std::uint8_t> present;

  explicit Step(int T) : present(static_cast<std::size_t>(T), 1) {
    std::mt19937_64 random(static_cast<unsigned>(T));
    std::normal_distribution<double> normal;
    const int P = 2 * T + 10;
    std::vector<double> g(static_cast<std::size_t>(T * P));
    for (double& value : g) {
      value = normal(random);
    }
    for (int i = 0; i < T; ++i) {
      losses.push_back(std::exp(normal(random)));
      for (int j = 0; j < T; ++j) {
        double product = 0;
        for (int p = 0; p < P; ++p) {
          product += g[static_cast<std::size_t>(i * P + p)] * g[static_cast<std::size_t>(j * P + p)];
        }
        gram.push_back(product);
      }
    }
  }
};

template <class Rule>
void call(benchmark::State& measurement, const Rule& rule) {
  const int T = static_cast<int>(measurement.range(0));
  const auto size = [](int count) { return static_cast<std::size_t>(count); };
  const Step step(T);
  const fuller::Weighting<Rule> weighting(rule);
  std::vector<double> state(size(weighting.state_size(T)));
  std::vector<double> scratch(size(weighting.scratch_size(T)));
  std::vector<double> shared(size(T));
  std::vector<double> heads(size(T));
  std::vector<fuller::Condition> conditions(size(T));
  weighting.initialise(T, state.data());
  fuller::Evidence<> evidence;
  evidence.count = T;
  evidence.gram = step.gram.data();
  evidence.losses = step.losses.data();
  evidence.present = step.present.data();
  const fuller::WeightsView out{shared.data(), heads.data(), conditions.data()};
  for (auto _ : measurement) {
    ++evidence.step;
    evidence.epoch = evidence.step / 1000;
    benchmark::DoNotOptimize(evidence);
    weighting(fuller::Serial{}, evidence, state.data(), out, scratch.data());
    benchmark::ClobberMemory();
  }
}

template <class Law>
void call_gate(benchmark::State& measurement) {
  const int M = static_cast<int>(measurement.range(0));
  const auto size = [](int count) { return static_cast<std::size_t>(count); };
  const Law law;
  std::vector<double> state(size(law.state_size(M)));
  std::vector<double> scales(size(M));
  std::vector<double> scratch(size(law.scratch_size(M)));
  const std::vector<std::uint8_t> present(size(M), 1);
  const std::vector<double> sizes(size(M), 9);
  std::vector<double> squares;
  for (int m = 0; m < M; ++m) {
    squares.push_back(1 + m);
  }
  law.initialise(M, state.data());
  fuller::BranchEvidence<> evidence;
  evidence.count = M;
  evidence.squared_norms = squares.data();
  evidence.sizes = sizes.data();
  evidence.scores = squares.data();
  evidence.present = present.data();
  for (auto _ : measurement) {
    benchmark::DoNotOptimize(evidence);
    law(fuller::Serial{}, evidence, state.data(), scales.data(), scratch.data());
    benchmark::ClobberMemory();
  }
}

void add_sizes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgName("T")->Unit(benchmark::kMicrosecond);
  for (const int T : {2, 4, 8, 20, 64}) {
    benchmark->Arg(T);
  }
}

/// Another mode of a known rule.
template <class Rule>
void add_mode(const std::string& mode, const Rule& rule) {
  add_sizes(benchmark::RegisterBenchmark(mode.c_str(), [rule](benchmark::State& state) { call(state, rule); }));
}

template <class... Rules>
void add(fuller::cuda::RuleList<Rules...> /*list*/) {
  (add_sizes(benchmark::RegisterBenchmark(
       fuller::testing::Known<Rules>::name().c_str(),
       [](benchmark::State& state) { call(state, fuller::testing::Known<Rules>::made_for(static_cast<int>(state.range(0)))); })),
   ...);
}

template <class... Laws>
void add(fuller::cuda::GateList<Laws...> /*list*/) {
  (benchmark::RegisterBenchmark(Laws::name, call_gate<Laws>)->ArgName("M")->Unit(benchmark::kMicrosecond)->Arg(2)->Arg(3)->Arg(8),
   ...);
}

}  // namespace

int main(int argc, char** argv) {
  add(fuller::cuda::KnownRules());
  add(fuller::cuda::HostRules());
  add(fuller::cuda::ElementRules());
  fuller::GradNormOptions adam;
  adam.optimizer = fuller::GradNormOptions::Optimizer::adam;
  add_mode("GradNorm_Adam", fuller::GradNorm(adam));
  fuller::WPCGradOptions literal;
  literal.literal_algorithm_2 = true;
  add_mode("wPCGrad_literal", fuller::WPCGrad(literal));
  add(fuller::cuda::KnownGates());
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}
