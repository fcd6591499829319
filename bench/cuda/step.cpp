// SPDX-License-Identifier: Apache-2.0
//
// What calibration costs a training step on a device: the reference model, and the networks of bench/step, eager and as CUDA
// graphs, each beside the plain step on the same device.
//
//   cuda_step [--device=cpu] [Google Benchmark's options]      default: cuda; without one the program ends with status 77
//
// The time is the plain step's. `ratio` is the calibrated step's over it, the median of pairs taken one right after the other,
// with its 95 % interval; `waits` is how often the host waited for the device in a calibrated step, where that can be told.

#include <cstring>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <fuller/measure/overhead.hpp>

#include "cuda/ways.hpp"
#include "step/variants.hpp"
#include "support/machine.hpp"

#if defined(FULLER_BENCH_BEVFUSION)
#include "bevfusion/frames.hpp"
#include "bevfusion/model/on_device.hpp"
#include "bevfusion/step.hpp"
#endif

namespace {

using Step = std::function<void()>;

void report(benchmark::State& state, const at::Device& device, const Step& plain, const Step& calibrated) {
  fuller::OverheadOptions options;
  options.device = device;
  options.pairs = device.is_cpu() ? 7 : 101;
  const fuller::Overhead overhead = fuller::measure_overhead(plain, calibrated, options);
  for (auto _ : state) {
    state.SetIterationTime(overhead.plain_seconds);
  }
  state.counters["ratio"] = overhead.time.ratio;
  state.counters["ratio_low"] = overhead.time.low;
  state.counters["ratio_high"] = overhead.time.high;
  if (overhead.calibrated_waits != fuller::Overhead::not_measured) {
    state.counters["waits"] = static_cast<double>(overhead.calibrated_waits);
  }
  if (overhead.plain_peak > 0) {
    state.counters["peak_ratio"] = overhead.peak_ratio();
  }
}

/// A network of bench/step; with two branches, gates and all of FULLER's Algorithm 1.
void small_network(benchmark::State& state, const at::Device& device, const bench::Network::Kind& kind, const bench::Way& way,
                   bool as_graph) {
  bench::Network net(kind);
  net.to(device);
  bench::Calibrated calibrated(net, fuller::IMTL_G(), {});
  calibrated.calibration.modalities(fuller::ModalityGate(), {"a", "b"});
  calibrated.calibration.use(way.steps);
  const Step plain_step = bench::variants_of(net).front().step;
  Step plain = [&] {
    net.drop_gradients();
    plain_step();
  };
  Step ours = [&] {
    net.drop_gradients();
    if (net.branches.empty()) {
      calibrated.plain_trunk();
    } else {
      calibrated.gated_trunk();
    }
  };
  if (as_graph) {
#if defined(FULLER_DEVICE_KERNELS)
    plain = bench::captured(plain);
    ours = bench::captured(ours);
#else
    state.SkipWithError("this program knows no CUDA graphs");
    return;
#endif
  }
  report(state, device, plain, ours);
}

#if defined(FULLER_BENCH_BEVFUSION)
/// The reference model. No graph: its shapes follow from the data.
void reference_model(benchmark::State& state, const at::Device& device, const std::string& size, const bench::Way& way) {
  const bevfusion::ModelConfig config = bevfusion::model_of_size(size);
  bevfusion::Batch batch = bench::frame().batch(config);
  batch.input = bevfusion::on_device(std::move(batch.input), device);
  batch.masks = batch.masks.to(device);
  torch::manual_seed(1);
  bench::Step plain(config, false, device);
  torch::manual_seed(1);
  bench::Step calibrated(config, true, device, way.steps);
  report(
      state, device, [&] { plain(batch); }, [&] { calibrated(batch); });
}
#endif

void add(const std::string& name, const std::function<void(benchmark::State&)>& run) {
  benchmark::RegisterBenchmark(name.c_str(), run)->Iterations(1)->UseManualTime()->Unit(benchmark::kMillisecond);
}

void add_all(const at::Device& device) {
  const bench::Network::Kind kinds[] = {{"conv", false, 2}, {"conv", false, 4}, {"fusion", false, 2}};
  for (const bench::Way& way : bench::ways_on(device)) {
    for (const bench::Network::Kind& kind : kinds) {
      const std::string network = "step/" + kind.trunk + "/T:" + std::to_string(kind.tasks) + "/";
      add(network + "eager/" + way.name, [=](benchmark::State& state) { small_network(state, device, kind, way, false); });
      if (!device.is_cpu() && way.steps) {
        add(network + "graph/" + way.name, [=](benchmark::State& state) { small_network(state, device, kind, way, true); });
      }
    }
#if defined(FULLER_BENCH_BEVFUSION)
    for (const char* size : {"small", "full"}) {
      add(std::string("bevfusion/") + size + "/eager/" + way.name,
          [=](benchmark::State& state) { reference_model(state, device, size, way); });
    }
#endif
  }
}

}  // namespace

int main(int count, char** arguments) {
  benchmark::Initialize(&count, arguments);
  at::Device device(at::kCUDA);
  if (count == 2 && std::strncmp(arguments[1], "--device=", 9) == 0) {
    device = at::Device(arguments[1] + 9);
  } else if (benchmark::ReportUnrecognizedArguments(count, arguments)) {
    return 2;
  }
  if (device.is_cuda() && !torch::cuda::is_available()) {
    std::cerr << "cuda_step: skipped: LibTorch sees no CUDA device (--device=cpu runs the same on the CPU)\n";
    return 77;
  }
  bench::name_machine(TORCH_VERSION);
  benchmark::AddCustomContext("device", device.str());
  add_all(device);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
