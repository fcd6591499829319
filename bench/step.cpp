// SPDX-License-Identifier: Apache-2.0
// What calibration costs a training step: every rule on every surface beside the plain step, the usual multi-backward way, and
// the floor. All variants of a network are measured interleaved in one run, on one thread, in its processor time.
//
//   step [--seconds=S] [Google Benchmark's options]      S seconds for each network (default 20)
//   step --checkpoints=FILE [--seconds=S]                what activation checkpoints save and cost; into FILE as JSON
#include <cstdlib>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <torch/torch.h>
#include <torch/version.h>

#include "step/checkpoints.hpp"
#include "step/measurement.hpp"
#include "support/machine.hpp"

namespace {

double seconds_per_network = 20;

/// The group is measured when the first of its benchmarks runs.
const std::vector<bench::Measured>& measured(const std::string& group, const bench::Network::Kind& kind) {
  static std::map<std::string, std::vector<bench::Measured>> groups;
  auto found = groups.find(group);
  if (found == groups.end()) {
    found = groups.emplace(group, bench::measure(kind, seconds_per_network)).first;
  }
  return found->second;
}

void report(benchmark::State& state, const bench::Measured& result) {
  for (auto _ : state) {
    state.SetIterationTime(result.seconds);
  }
  const auto note = [&](const char* name, double value) {
    if (value == value) {  // what a variant does not have stays out
      state.counters[name] = value;
    }
  };
  note("ratio", result.time.ratio);
  note("ratio_low", result.time.low);
  note("ratio_high", result.time.high);
  note("rounds", static_cast<double>(result.rounds));
  if (result.name == bench::last_layer_floor || result.name == bench::trunk_floor) {
    return;
  }
  note("over_trunk", result.over_trunk.ratio);
  note("over_trunk_low", result.over_trunk.low);
  note("over_trunk_high", result.over_trunk.high);
  note("over_held", result.over_held.ratio);
  note("over_held_low", result.over_held.low);
  note("over_held_high", result.over_held.high);
  note("over_naive", result.over_naive.ratio);
  note("over_naive_low", result.over_naive.low);
  note("over_naive_high", result.over_naive.high);
  note("over_floor", result.over_floor.ratio);
  note("over_floor_low", result.over_floor.low);
  note("over_floor_high", result.over_floor.high);
  note("peak_ratio", result.peak_ratio);
  note("peak_of_budget", result.peak_of_budget);
}

void add(const bench::Network::Kind& kind) {
  const std::string group =
      "step/" + kind.trunk + "/" + (kind.heavy ? "heavy" : "light") + "/T:" + std::to_string(kind.tasks) + "/";
  bench::Network net(kind);
  for (const bench::Variant& variant : bench::variants_of(net)) {
    const std::string name = variant.name;
    benchmark::RegisterBenchmark((group + name).c_str(),
                                 [group, kind, name](benchmark::State& state) {
                                   for (const bench::Measured& result : measured(group, kind)) {
                                     if (result.name == name) {
                                       report(state, result);
                                     }
                                   }
                                 })
        ->Iterations(1)
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
}

}  // namespace

int main(int argc, char** argv) {
  bench::keep_freed_memory();
  bench::one_blas_thread();
  at::set_num_threads(1);
  bench::name_machine(TORCH_VERSION);
  if (argc > 1 && std::strncmp(argv[1], "--checkpoints=", 14) == 0) {
    const double seconds = argc == 3 && std::strncmp(argv[2], "--seconds=", 10) == 0 ? std::strtod(argv[2] + 10, nullptr) : 20;
    bench::measure_checkpoints(seconds, argv[1] + 14);
    return 0;
  }
  for (const char* trunk : {"conv", "fusion", "wide", "narrow"}) {
    for (const bool heavy : {false, true}) {
      for (const int tasks : {2, 4, 8}) {
        add({trunk, heavy, tasks});
      }
    }
  }
  benchmark::Initialize(&argc, argv);
  if (argc == 2 && std::strncmp(argv[1], "--seconds=", 10) == 0) {
    seconds_per_network = std::strtod(argv[1] + 10, nullptr);
  } else if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
