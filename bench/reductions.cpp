// SPDX-License-Identifier: Apache-2.0
//
// The CPU reductions beside what ATen and its BLAS offer for the same result, and beside what the machine's memory allows.
//
//   reductions [--benchmark_filter=Gram]      OMP_NUM_THREADS sets the threads of all contenders
//
// The time is fuller's. The counters are other contenders' times as multiples of it, measured in turns: `read` is a kernel that
// only reads the same memory, so it is the share of the read bandwidth that fuller reaches (1 = memory-bound); all others are
// speed-ups over ATen.

#include <ATen/ATen.h>
#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>
#include <vector>

#include <fuller/tensor/ghost_gram.hpp>
#include <fuller/tensor/reductions.hpp>

#include "support/contest.hpp"
#include "support/streaming_read.hpp"

namespace {

using fuller::bench::Contest;

std::vector<at::Tensor> random_tensors(std::int64_t count, at::IntArrayRef shape, at::ScalarType type = at::kFloat) {
  at::manual_seed(1);
  std::vector<at::Tensor> tensors;
  for (std::int64_t i = 0; i < count; ++i) {
    tensors.push_back((at::randn(shape) * 1e-3).to(type));
  }
  return tensors;
}

/// Arguments: elements, tasks. The 268 MB of {33554432, 2} are in no cache; how many of the others are depends on the machine.
void gram(benchmark::State& state, at::ScalarType type) {
  const std::int64_t tasks = state.range(1);
  const std::vector<at::Tensor> tensors = random_tensors(tasks, {state.range(0)}, type);
  std::vector<std::vector<at::Tensor>> gradients;
  for (const at::Tensor& tensor : tensors) {
    gradients.push_back({tensor});
  }
  std::vector<double> matrix(static_cast<std::size_t>(tasks * tasks));
  Contest contest;
  contest.add("fuller", [&] {
    fuller::gram_matrix(gradients, matrix.data());
    benchmark::DoNotOptimize(matrix.data());
  });
  contest.add("read", [&] { fuller::bench::streaming_read(tensors); });
  contest.add("stack_mm", [&] {
    const at::Tensor rows = at::stack(tensors);
    benchmark::DoNotOptimize(rows.mm(rows.t()).data_ptr());
  });
  contest.add("dots", [&] {
    for (std::size_t i = 0; i < tensors.size(); ++i) {
      for (std::size_t j = i; j < tensors.size(); ++j) {
        benchmark::DoNotOptimize(tensors[i].dot(tensors[j]).data_ptr());
      }
    }
  });
  if (type == at::kFloat) {
    contest.add("double_mm", [&] {
      const at::Tensor rows = at::stack(tensors).to(at::kDouble);
      benchmark::DoNotOptimize(rows.mm(rows.t()).data_ptr());
    });
  }
  contest.run(state);
}
void GramFloat(benchmark::State& state) { gram(state, at::kFloat); }
void GramBFloat16(benchmark::State& state) { gram(state, at::kBFloat16); }
BENCHMARK(GramFloat)
    ->ArgsProduct({{589824, 4194304}, {2, 4, 8}})
    ->Args({33554432, 2})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(GramBFloat16)->ArgsProduct({{4194304}, {2}})->UseManualTime()->Unit(benchmark::kMicrosecond);

/// Arguments: output channels; 80 + 256 input channels, 3 x 3; 1: channels_last. Those of 11096 are 134 MB.
void SliceNorms(benchmark::State& state) {
  at::Tensor weight = random_tensors(1, {state.range(0), 336, 3, 3}).front();
  if (state.range(1) != 0) {
    weight = weight.contiguous(at::MemoryFormat::ChannelsLast);
  }
  const std::vector<std::int64_t> widths{80, 256};
  std::vector<double> norms(2);
  Contest contest;
  contest.add("fuller", [&] {
    fuller::slice_squared_norms(weight, widths, 1, norms.data());
    benchmark::DoNotOptimize(norms.data());
  });
  contest.add("read", [&] { fuller::bench::streaming_read({weight}); });
  contest.add("norm", [&] {
    benchmark::DoNotOptimize(weight.narrow(1, 0, 80).norm().data_ptr());
    benchmark::DoNotOptimize(weight.narrow(1, 80, 256).norm().data_ptr());
  });
  contest.run(state);
}
BENCHMARK(SliceNorms)->ArgsProduct({{195, 1387, 11096}, {0, 1}})->UseManualTime()->Unit(benchmark::kMicrosecond);

/// Arguments: elements, tasks. `read` reads the inputs and the output; as the output is written (and, before, fetched), the most
/// to expect is (tasks + 1) / (tasks + 2).
void weighted(benchmark::State& state, at::ScalarType type) {
  const std::int64_t tasks = state.range(1);
  const std::vector<at::Tensor> cotangents = random_tensors(tasks, {state.range(0)}, type);
  std::vector<at::Tensor> touched = cotangents;
  touched.push_back(at::zeros({state.range(0)}, type));
  std::vector<double> weights;
  for (std::int64_t i = 0; i < tasks; ++i) {
    weights.push_back(0.5 + 0.1 * static_cast<double>(i));
  }
  Contest contest;
  contest.add("fuller", [&] { benchmark::DoNotOptimize(fuller::weighted_sum(cotangents, weights.data()).data_ptr()); });
  contest.add("read", [&] { fuller::bench::streaming_read(touched); });
  contest.add("mul_add", [&] {
    at::Tensor sum = cotangents[0].mul(weights[0]);
    for (std::size_t i = 1; i < cotangents.size(); ++i) {
      sum.add_(cotangents[i], weights[i]);
    }
    benchmark::DoNotOptimize(sum.data_ptr());
  });
  contest.add("sum_only", [&] {
    at::Tensor sum = cotangents[0];
    for (std::size_t i = 1; i < cotangents.size(); ++i) {
      sum = sum.add(cotangents[i]);
    }
    benchmark::DoNotOptimize(sum.data_ptr());
  });
  contest.run(state);
}
void WeightedSumFloat(benchmark::State& state) { weighted(state, at::kFloat); }
void WeightedSumBFloat16(benchmark::State& state) { weighted(state, at::kBFloat16); }
BENCHMARK(WeightedSumFloat)->ArgsProduct({{589824, 4194304}, {2, 4, 8}})->UseManualTime()->Unit(benchmark::kMicrosecond);
BENCHMARK(WeightedSumBFloat16)->ArgsProduct({{4194304}, {2}})->UseManualTime()->Unit(benchmark::kMicrosecond);

/// Arguments: rows, inputs = outputs, tasks. `formed` forms the weight gradients and fuller's Gram matrix of them, `gradients`
/// the gradients alone; `pays` is what ghost_pays says.
void GhostGram(benchmark::State& state) {
  const std::int64_t rows = state.range(0);
  const std::int64_t width = state.range(1);
  const std::vector<at::Tensor> dy = random_tensors(state.range(2), {rows, width});
  const at::Tensor x = at::randn({rows, width});
  std::vector<double> matrix(dy.size() * dy.size());
  Contest contest;
  contest.add("ghost", [&] { fuller::ghost_gram_matrix(x, dy, false, matrix.data()); });
  contest.add("formed", [&] {
    std::vector<std::vector<at::Tensor>> gradients;
    for (const at::Tensor& gradient : dy) {
      gradients.push_back({gradient.t().mm(x)});
    }
    fuller::gram_matrix(gradients, matrix.data());
  });
  contest.add("gradients", [&] {
    for (const at::Tensor& gradient : dy) {
      benchmark::DoNotOptimize(gradient.t().mm(x).data_ptr());
    }
  });
  contest.add("double_mm", [&] {
    const at::Tensor wide = x.to(at::kDouble);
    const at::Tensor products = wide.mm(wide.t());
    std::vector<at::Tensor> left;
    std::vector<at::Tensor> right;
    for (const at::Tensor& gradient : dy) {
      right.push_back(gradient.to(at::kDouble));
      left.push_back(products.mm(right.back()).reshape({-1}));
      right.back() = right.back().reshape({-1});
    }
    benchmark::DoNotOptimize(at::stack(left).mm(at::stack(right).t()).data_ptr());
  });
  contest.run(state);
  state.counters["pays"] = fuller::ghost_pays(rows, width, width, static_cast<int>(dy.size())) ? 1 : 0;
}
BENCHMARK(GhostGram)
    ->ArgsProduct({{16, 64, 256}, {1024}, {2, 4}})
    ->Args({64, 256, 4})
    ->Args({512, 1024, 4})
    ->UseManualTime()
    ->Unit(benchmark::kMicrosecond);

}  // namespace

BENCHMARK_MAIN();
