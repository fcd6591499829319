// SPDX-License-Identifier: Apache-2.0
//
// The CUDA kernels beside what ATen offers for the same result, and beside what the device's memory allows.
//
//   cuda_bench [--benchmark_filter=Gram]
//
// The time is fuller's, on the device, the median of 30 runs, `low` and `high` its quartiles as multiples of it. `copy` is the
// share of the measured rate of a device copy that the bytes read and written reach; the others are ATen's times as multiples of
// fuller's. Inputs are random and change from run to run among as many as exceed the L2 cache, unless they are so small that a
// training step would find them there.

#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <c10/cuda/CUDAStream.h>
#include <cuda_runtime_api.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/engine/device_calibrator.hpp>
#include <fuller/engine/device_gate.hpp>
#include <fuller/gates/gates.hpp>

#include "support/machine.hpp"

namespace {

using at::Tensor;

void require(cudaError_t status) {
  if (status != cudaSuccess) {
    throw std::runtime_error(cudaGetErrorString(status));
  }
}

/// Seconds that f(k) takes on the device, sorted, after a warm-up of its own.
std::vector<double> times_of(const std::function<void(int)>& f) {
  constexpr int runs = 30;
  const cudaStream_t stream = c10::cuda::getCurrentCUDAStream().stream();
  cudaEvent_t begin = nullptr;
  cudaEvent_t end = nullptr;
  require(cudaEventCreate(&begin));
  require(cudaEventCreate(&end));
  std::vector<double> seconds;
  for (int k = 0; k < runs + 10; ++k) {
    require(cudaEventRecord(begin, stream));
    f(k);
    require(cudaEventRecord(end, stream));
    require(cudaEventSynchronize(end));
    float milliseconds = 0;
    require(cudaEventElapsedTime(&milliseconds, begin, end));
    if (k >= 10) {
      seconds.push_back(1e-3 * static_cast<double>(milliseconds));
    }
  }
  require(cudaEventDestroy(begin));
  require(cudaEventDestroy(end));
  std::sort(seconds.begin(), seconds.end());
  return seconds;
}

double median(const std::vector<double>& sorted) { return sorted[sorted.size() / 2]; }
double seconds_of(const std::function<void(int)>& f) { return median(times_of(f)); }

at::TensorOptions on_device(at::ScalarType type = at::kFloat) { return at::TensorOptions().device(at::kCUDA).dtype(type); }

/// Bytes a second, read and written, of a copy of 1 GiB.
double copy_rate() {
  static const double rate = [] {
    const Tensor from = at::randn({std::int64_t{1} << 28}, on_device());
    const Tensor to = at::empty_like(from);
    return 2.0 * static_cast<double>(from.numel() * 4) / seconds_of([&](int) { to.copy_(from); });
  }();
  return rate;
}

/// Sets of T tensors, together beyond the L2 cache.
std::vector<std::vector<Tensor>> rotated(std::int64_t n, std::int64_t tasks, at::ScalarType type) {
  int device = 0;
  int l2 = 0;
  require(cudaGetDevice(&device));
  require(cudaDeviceGetAttribute(&l2, cudaDevAttrL2CacheSize, device));
  const std::int64_t bytes = n * tasks * static_cast<std::int64_t>(c10::elementSize(type));
  const std::int64_t sets = bytes < (std::int64_t{8} << 20) ? 1 : std::clamp<std::int64_t>(3 * l2 / bytes + 1, 2, 32);
  std::vector<std::vector<Tensor>> all;
  for (std::int64_t s = 0; s < sets; ++s) {
    std::vector<Tensor> tensors;
    for (std::int64_t i = 0; i < tasks; ++i) {
      tensors.push_back(at::randn({n}, on_device()).mul_(1e-3).to(type));
    }
    all.push_back(std::move(tensors));
  }
  return all;
}

/// @return the median
double report(benchmark::State& state, const std::vector<double>& times, double bytes) {
  const double seconds = median(times);
  for (auto _ : state) {
    state.SetIterationTime(seconds);
  }
  state.counters["low"] = times[times.size() / 4] / seconds;
  state.counters["high"] = times[3 * times.size() / 4] / seconds;
  state.counters["copy"] = bytes / seconds / copy_rate();
  return seconds;
}

void gram(benchmark::State& state, at::ScalarType type) {
  const std::int64_t n = state.range(0);
  const std::int64_t T = state.range(1);
  const auto sets = rotated(n, T, type);
  std::vector<std::vector<std::vector<Tensor>>> lists;
  for (const auto& set : sets) {
    lists.emplace_back();
    for (const Tensor& tensor : set) {
      lists.back().push_back({tensor});
    }
  }
  fuller::DeviceCalibrator calibrator(fuller::IMTL_G(), static_cast<int>(T), at::kCUDA);
  const auto at_turn = [&](int k) { return static_cast<std::size_t>(k) % sets.size(); };
  const auto times = times_of([&](int k) { calibrator.weigh(fuller::device_kernels(), lists[at_turn(k)]); });
  const double seconds = report(state, times, static_cast<double>(n * T) * static_cast<double>(c10::elementSize(type)));
  state.counters["stack_mm"] = seconds_of([&](int k) {
                                 const Tensor rows = at::stack(sets[at_turn(k)]);
                                 benchmark::DoNotOptimize(rows.mm(rows.t()).data_ptr());
                               }) /
                               seconds;
  state.counters["foreach_norm"] =
      seconds_of([&](int k) { benchmark::DoNotOptimize(at::_foreach_norm(sets[at_turn(k)]).front().data_ptr()); }) / seconds;
  state.counters["dots"] = seconds_of([&](int k) {
                             const auto& set = sets[at_turn(k)];
                             for (std::size_t i = 0; i < set.size(); ++i) {
                               for (std::size_t j = i; j < set.size(); ++j) {
                                 benchmark::DoNotOptimize(set[i].dot(set[j]).data_ptr());
                               }
                             }
                           }) /
                           seconds;
}
void GramFloat(benchmark::State& state) { gram(state, at::kFloat); }
void GramBFloat16(benchmark::State& state) { gram(state, at::kBFloat16); }
// The last layer of 256 to 256 channels, 3 x 3, with the solve; then 64 MB and more a task.
BENCHMARK(GramFloat)
    ->ArgsProduct({{589824, 16777216, 67108864}, {2, 4, 8}})
    ->UseManualTime()
    ->Iterations(1)
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(GramBFloat16)->ArgsProduct({{589824, 33554432}, {2, 4}})->UseManualTime()->Iterations(1)->Unit(benchmark::kMicrosecond);

void WeightedSum(benchmark::State& state) {
  const std::int64_t T = state.range(1);
  const auto sets = rotated(state.range(0), T, at::kFloat);
  const Tensor weights = at::rand({T}, on_device(at::kDouble));
  const Tensor narrow = weights.to(at::kFloat);
  const auto at_turn = [&](int k) { return static_cast<std::size_t>(k) % sets.size(); };
  const auto times = times_of([&](int k) {
    benchmark::DoNotOptimize(fuller::weighted_sum(fuller::device_kernels(), sets[at_turn(k)], weights).data_ptr());
  });
  const double seconds = report(state, times, static_cast<double>(state.range(0) * (T + 1) * 4));
  state.counters["mul_add"] = seconds_of([&](int k) {
                                const auto& set = sets[at_turn(k)];
                                Tensor sum = set[0] * narrow[0];
                                for (std::int64_t i = 1; i < T; ++i) {
                                  sum.addcmul_(set[static_cast<std::size_t>(i)], narrow[i]);
                                }
                                benchmark::DoNotOptimize(sum.data_ptr());
                              }) /
                              seconds;
}
BENCHMARK(WeightedSum)->ArgsProduct({{589824, 33177600}, {2, 4}})->UseManualTime()->Iterations(1)->Unit(benchmark::kMicrosecond);

void SliceNorms(benchmark::State& state) {
  std::vector<Tensor> weights;
  for (int k = 0; k < 4; ++k) {
    weights.push_back(at::randn({state.range(0), 336, 3, 3}, on_device()));
  }
  const std::vector<std::int64_t> widths{80, 256};
  fuller::DeviceGate gate(fuller::ModalityGate(), 2, at::kCUDA);
  const auto at_turn = [](int k) { return static_cast<std::size_t>(k) % 4; };
  const auto times = times_of([&](int k) { gate.weigh(fuller::device_kernels(), weights[at_turn(k)], widths); });
  const double seconds = report(state, times, static_cast<double>(weights.front().numel() * 4));
  state.counters["norm"] = seconds_of([&](int k) {
                             benchmark::DoNotOptimize(weights[at_turn(k)].narrow(1, 0, 80).norm().data_ptr());
                             benchmark::DoNotOptimize(weights[at_turn(k)].narrow(1, 80, 256).norm().data_ptr());
                           }) /
                           seconds;
}
BENCHMARK(SliceNorms)->Arg(256)->Arg(8192)->UseManualTime()->Iterations(1)->Unit(benchmark::kMicrosecond);

}  // namespace

int main(int count, char** arguments) {
  benchmark::Initialize(&count, arguments);
  int devices = 0;
  if (cudaGetDeviceCount(&devices) != cudaSuccess || devices == 0) {
    return 77;
  }
  cudaDeviceProp properties{};
  require(cudaGetDeviceProperties(&properties, 0));
  int driver = 0;
  require(cudaDriverGetVersion(&driver));
  bench::name_machine(TORCH_VERSION);
  benchmark::AddCustomContext("device", properties.name);
  benchmark::AddCustomContext("driver", std::to_string(driver));
  benchmark::AddCustomContext("toolkit", std::to_string(CUDART_VERSION));
  benchmark::AddCustomContext("copy_GB_per_s", std::to_string(1e-9 * copy_rate()));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
