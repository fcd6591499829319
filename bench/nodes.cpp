// SPDX-License-Identifier: Apache-2.0
// What the two nodes of a calibrated step take beside tensors: a network whose tensors are so small that only bookkeeping counts.
// Beside it the same network with two functions in the nodes' places that do nothing but pass on and add, which is what LibTorch
// takes for any custom function. All in turn, on one thread, in its processor time.
//
//   nodes_bench [Google Benchmark's options]
//
// Counters, all medians of microseconds: fork and sum, those two calls; fork_and_sum, both; step, what the whole step takes more
// than the plain one, backward included; step_of_libtorch, the same of the two empty functions.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <fuller/fuller.hpp>
#include <fuller/measure/clock.hpp>

#include "step/held.hpp"
#include "support/contest.hpp"
#include "support/machine.hpp"

namespace {

using at::Tensor;
using fuller::bench::median;

/// A linear layer of 16 that T heads of two layers read, with their losses.
struct SmallNetwork {
  torch::nn::Linear trunk{16, 16};
  std::vector<torch::nn::Sequential> heads;
  Tensor input = torch::randn({8, 16});

  explicit SmallNetwork(std::size_t tasks) {
    for (std::size_t i = 0; i < tasks; ++i) {
      heads.emplace_back(torch::nn::Linear(16, 16), torch::nn::ReLU(), torch::nn::Linear(16, 4));
    }
  }

  std::vector<Tensor> losses(const std::vector<Tensor>& z) {
    std::vector<Tensor> of_tasks;
    for (std::size_t i = 0; i < heads.size(); ++i) {
      of_tasks.push_back(heads[i]->forward(z[i]).pow(2).mean());
    }
    return of_tasks;
  }
};

Tensor added(const std::vector<Tensor>& losses) {
  Tensor total = losses[0];
  for (std::size_t i = 1; i < losses.size(); ++i) {
    total = total + losses[i];
  }
  return total;
}

/// Adds, and sends the gradient back to each.
struct EmptySum : torch::autograd::Function<EmptySum> {
  static Tensor forward(torch::autograd::AutogradContext* context, at::TensorList losses) {
    context->saved_data["count"] = static_cast<std::int64_t>(losses.size());
    return added(losses.vec());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    return torch::autograd::variable_list(static_cast<std::size_t>(context->saved_data["count"].toInt()), gradients[0]);
  }
};

/// One way to take the step.
struct Way {
  std::function<std::vector<Tensor>(const Tensor&)> fork;
  std::function<Tensor(const std::vector<Tensor>&)> sum;
  std::vector<double> of_fork{}, of_sum{}, of_step{};  // microseconds

  void step(SmallNetwork& net) {
    const auto now = [] { return fuller::seconds(fuller::Clock::thread); };
    const double begin = now();
    const Tensor shared = net.trunk->forward(net.input);
    const double forked = now();
    const std::vector<Tensor> z = fork(shared);
    const double heads = now();
    const std::vector<Tensor> losses = net.losses(z);
    const double summed = now();
    const Tensor total = sum(losses);
    const double backward = now();
    total.backward();
    of_step.push_back(1e6 * (now() - begin));
    of_fork.push_back(1e6 * (heads - forked));
    of_sum.push_back(1e6 * (backward - summed));
  }
};

Way plain(std::size_t tasks) {
  return {[tasks](const Tensor& shared) { return std::vector<Tensor>(tasks, shared); }, added};
}

Way empty_functions(std::size_t tasks) {
  return {[tasks](const Tensor& shared) { return bench::HeldCotangents::apply(shared, static_cast<std::int64_t>(tasks)); },
          [](const std::vector<Tensor>& losses) { return EmptySum::apply(at::TensorList(losses)); }};
}

template <class Rule>
Way calibrated(std::size_t tasks) {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < tasks; ++i) {
    names.push_back("task " + std::to_string(i));
  }
  const auto calibration = std::make_shared<fuller::Calibration>(Rule(), names);
  return {[calibration](const Tensor& shared) { return calibration->fork(shared); },
          [calibration](const std::vector<Tensor>& losses) { return calibration->sum(losses); }};
}

template <class Rule>
void nodes(benchmark::State& state) {
  const auto tasks = static_cast<std::size_t>(state.range(0));
  torch::manual_seed(1);
  SmallNetwork net(tasks);
  Way ways[] = {plain(tasks), empty_functions(tasks), calibrated<Rule>(tasks)};
  for (Way& way : ways) {
    way.step(net);
    way = {way.fork, way.sum};
  }
  for (auto _ : state) {
    for (Way& way : ways) {
      way.step(net);
    }
    state.SetIterationTime(1e-6 * ways[2].of_step.back());
  }
  const auto beyond_plain = [&](const Way& way) {
    std::vector<double> more = way.of_step;
    std::transform(more.begin(), more.end(), ways[0].of_step.begin(), more.begin(), std::minus<>());
    return median(more);
  };
  const Way& measured = ways[2];
  std::vector<double> both = measured.of_fork;
  std::transform(both.begin(), both.end(), measured.of_sum.begin(), both.begin(), std::plus<>());
  state.counters["fork"] = median(measured.of_fork);
  state.counters["sum"] = median(measured.of_sum);
  state.counters["fork_and_sum"] = median(both);
  state.counters["step"] = beyond_plain(measured);
  state.counters["step_of_libtorch"] = beyond_plain(ways[1]);
}

template <class Rule>
void add(const std::string& rule) {
  benchmark::RegisterBenchmark(("nodes/" + rule).c_str(), nodes<Rule>)
      ->ArgName("T")
      ->Arg(2)
      ->Arg(4)
      ->Arg(8)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
}

}  // namespace

int main(int argc, char** argv) {
  bench::keep_freed_memory();
  bench::one_blas_thread();
  at::set_num_threads(1);
  bench::name_machine(TORCH_VERSION);
  add<fuller::Uniform>("Uniform");
  add<fuller::IMTL_G>("IMTL-G");
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) {
    return 1;
  }
  benchmark::RunSpecifiedBenchmarks();
}
