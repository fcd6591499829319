// SPDX-License-Identifier: Apache-2.0
// The kernels on a device: plain C++ that asks the compiled unit. Oracles: the same kernels on emulated blocks, which have tests
// of their own against long double, and the eager run for a captured graph. Without a device the program ends with the status
// that CTest reports as "Skipped"; that unit and program were compiled and linked is what was checked then.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include <fuller/cuda/kernel_table.hpp>

#include "cuda/device.hpp"
#include "support/emulated_launcher.hpp"

namespace {

using namespace fuller::cuda;
using namespace fuller::testing;
using fuller::Condition;
using fuller::Weighting;

int failures = 0;

void expect(bool right, const std::string& what) {
  if (!right) {
    std::cout << "wrong: " << what << '\n';
    ++failures;
  }
}

bool close(double a, double b, double tolerance) {
  return a == b || (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= tolerance * std::max(1.0, std::abs(b));
}

void expect_close(const std::vector<double>& found, const std::vector<double>& right, double tolerance, const std::string& what) {
  for (std::size_t k = 0; k < right.size(); ++k) {
    if (!close(found[k], right[k], tolerance)) {
      expect(false,
             what + " [" + std::to_string(k) + "]: " + std::to_string(found[k]) + " instead of " + std::to_string(right[k]));
      return;
    }
  }
}

const KernelTable& kernels() { return *linked_kernels(); }

/// T lists of rows on the device; begins `shift` elements into its memory.
template <class E>
struct DeviceLists {
  DeviceLists(int tasks, const std::vector<std::int64_t>& lengths, std::int64_t shift) : T(tasks) {
    layouts.reserve(lengths.size());
    unsigned seed = 0;
    for (const std::int64_t n : lengths) {
      layouts.push_back(row(n));
      for (int i = 0; i < T; ++i) {
        host.push_back(normal_numbers<E>(n + shift, ++seed, 0.1));
        device.push_back(std::make_unique<OnDevice<E>>(host.back()));
        on_device.push_back(layouts.back().view(device.back()->data() + shift));
      }
    }
    for (std::size_t k = 0; k < host.size(); ++k) {
      on_host.push_back(layouts[k / static_cast<std::size_t>(T)].view(host[k].data() + shift));
      total += k % static_cast<std::size_t>(T) == 0 ? layouts[k / static_cast<std::size_t>(T)].count() : 0;
    }
  }
  TensorLists lists(const std::vector<TensorView>& views) const {
    return {views.data(), static_cast<int>(layouts.size()), T, element_of<E>()};
  }

  int T;
  std::int64_t total = 0;
  std::vector<Layout> layouts;
  std::vector<std::vector<E>> host;
  std::vector<std::unique_ptr<OnDevice<E>>> device;
  std::vector<TensorView> on_device;
  std::vector<TensorView> on_host;
};

template <class E>
void check_gram(int T, const std::vector<std::int64_t>& lengths, std::int64_t shift) {
  const DeviceLists<E> data(T, lengths, shift);
  const auto pairs = static_cast<std::size_t>(T * T);
  const std::vector<double> zeros(static_cast<std::size_t>(gram_workspace(T, static_cast<int>(lengths.size()), data.total)), 0.0);
  std::vector<double> workspace = zeros;
  std::vector<double> right(pairs);
  TensorLists lists = data.lists(data.on_host);
  GramRequest request;
  request.parts = &lists;
  request.part_count = 1;
  request.tasks = T;
  request.gram = right.data();
  request.workspace = workspace.data();
  submit(request, EmulatedLauncher());

  const OnDevice<double> device_workspace(zeros);
  const OnDevice<double> gram(std::vector<double>(pairs, -1.0));
  lists = data.lists(data.on_device);
  request.gram = gram.data();
  request.workspace = device_workspace.data();
  const std::string what = "Gram matrix, T = " + std::to_string(T) + ", " + std::to_string(sizeof(E)) + " bytes";
  std::vector<double> first;
  for (int repeat = 0; repeat < 3; ++repeat) {  // the ticket is back, and no bit changes
    expect(kernels().submit(request, nullptr) == Outcome::done, what + ": launch");
    const std::vector<double> found = gram.read();
    first = repeat == 0 ? found : first;
    expect(found == first, what + ": two runs differ");
  }
  for (int i = 0; i < T; ++i) {
    for (int j = 0; j < T; ++j) {
      const auto at = [T](int a, int b) { return static_cast<std::size_t>(a * T + b); };
      const double size = std::sqrt(right[at(i, i)] * right[at(j, j)]);
      expect(std::abs(first[at(i, j)] - right[at(i, j)]) <= 1e-12 * size,
             what + ": (" + std::to_string(i) + ", " + std::to_string(j) + ")");
    }
  }
}

template <class E>
void check_slices(const std::vector<std::int64_t>& widths, std::int64_t outer, std::int64_t inner) {
  std::int64_t n = 0;
  for (const std::int64_t width : widths) n += outer * width * inner;
  const std::vector<E> weight = normal_numbers<E>(n, 5, 0.2);
  std::vector<double> workspace(static_cast<std::size_t>(norm_workspace(n)), 0.0);
  const OnDevice<double> device_workspace(workspace);
  std::vector<double> right(widths.size());
  NormRequest request;
  request.weight = weight.data();
  request.element = element_of<E>();
  request.outer = outer;
  request.widths = widths.data();
  request.slices = static_cast<int>(widths.size());
  request.inner = inner;
  request.squared_norms = right.data();
  request.workspace = workspace.data();
  submit(request, EmulatedLauncher());
  const OnDevice<E> device_weight(weight);
  const OnDevice<double> norms(std::vector<double>(widths.size(), -1.0));
  request.weight = device_weight.data();
  request.squared_norms = norms.data();
  request.workspace = device_workspace.data();
  expect(kernels().submit(request, nullptr) == Outcome::done, "slice norms: launch");
  expect_close(norms.read(), right, 1e-12, "slice norms");

  std::vector<double> scales;
  for (std::size_t m = 0; m < widths.size(); ++m) scales.push_back(m % 3 == 0 ? 0.3 : m % 3 == 1 ? 0.0 : 1.0);
  const OnDevice<double> device_scales(scales);
  std::vector<E> scaled(weight.size());
  ScaleRequest scale;
  scale.in = weight.data();
  scale.out = scaled.data();
  scale.element = element_of<E>();
  scale.outer = outer;
  scale.widths = widths.data();
  scale.slices = static_cast<int>(widths.size());
  scale.inner = inner;
  scale.scales = scales.data();
  submit(scale, EmulatedLauncher());
  scale.in = scale.out = device_weight.data();
  scale.scales = device_scales.data();
  expect(kernels().submit(scale, nullptr) == Outcome::done, "slice scaling: launch");
  const std::vector<E> found = device_weight.read();
  expect(std::memcmp(found.data(), scaled.data(), scaled.size() * sizeof(E)) == 0, "slice scaling: bits");
}

template <class E>
void check_sum(int T, std::int64_t n, std::int64_t shift) {
  const DeviceLists<E> data(T, {n}, shift);
  std::vector<double> weights;
  for (int i = 0; i < T; ++i) weights.push_back(i == 1 ? 0.0 : 0.5 + 0.25 * i);
  const OnDevice<double> device_weights(weights);
  std::vector<E> right(static_cast<std::size_t>(n));
  const OnDevice<E> out(right);
  std::vector<TensorView> views = data.on_host;
  views.push_back(data.layouts.front().view(right.data()));
  SumRequest request;
  request.tensors = {views.data(), 1, T + 1, element_of<E>()};
  request.weights = weights.data();
  submit(request, EmulatedLauncher());
  std::copy(data.on_device.begin(), data.on_device.end(), views.begin());
  views.back().data = out.data();
  request.weights = device_weights.data();
  expect(kernels().submit(request, nullptr) == Outcome::done, "weighted sum: launch");
  const std::vector<E> found = out.read();
  expect(std::memcmp(found.data(), right.data(), right.size() * sizeof(E)) == 0,
         "weighted sum, T = " + std::to_string(T) + ": bits");
}

/// The reduction, the rule in its last block and the weighted sum, `steps` times: launched one by one, or captured once and
/// replayed. Capture refuses anything that waits or allocates.
struct Run {
  std::vector<double> weights;
  std::vector<double> state;
  std::vector<std::int64_t> counters;
  std::vector<float> sum;
};

Run run_steps(int steps, bool captured) {
  constexpr int T = 3;
  const DeviceLists<float> data(T, {40000, 777}, 0);
  const Weighting<fuller::GradNorm> weighting;
  std::vector<double> state(static_cast<std::size_t>(weighting.state_size(T)));
  weighting.initialise(T, state.data());
  const OnDevice<double> device_state(state);
  const OnDevice<Weighting<fuller::GradNorm>> device_weighting({weighting});
  const OnDevice<double> losses({1.0, 0.5, 2.0});
  const OnDevice<double> shared({0, 0, 0});
  const OnDevice<double> heads({0, 0, 0});
  const OnDevice<Condition> conditions(std::vector<Condition>(T, Condition::absent));
  const OnDevice<std::int64_t> counters({0, 0});
  const OnDevice<double> scratch(std::vector<double>(static_cast<std::size_t>(rule_scratch(weighting, T))));
  const OnDevice<double> workspace(std::vector<double>(static_cast<std::size_t>(gram_workspace(T, 2, data.total)), 0.0));
  const OnDevice<double> gram(std::vector<double>(T * T, 0.0));
  const OnDevice<float> out(std::vector<float>(40000, 0.0F));
  const TensorLists lists = data.lists(data.on_device);
  GramRequest request;
  request.parts = &lists;
  request.part_count = 1;
  request.tasks = T;
  request.gram = gram.data();
  request.workspace = workspace.data();
  request.rule = {rule_number<fuller::GradNorm>,
                  T,
                  7,
                  device_weighting.data(),
                  gram.data(),
                  losses.data(),
                  nullptr,
                  counters.data(),
                  device_state.data(),
                  shared.data(),
                  heads.data(),
                  conditions.data(),
                  scratch.data(),
                  false};
  std::vector<TensorView> views(data.on_device.begin(), data.on_device.begin() + T);
  views.push_back(data.layouts.front().view(out.data()));
  SumRequest sum;
  sum.tensors = {views.data(), 1, T + 1, Element::float32};
  sum.weights = shared.data();

  cudaStream_t stream = nullptr;
  require(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "a stream");
  const auto step = [&] {
    expect(kernels().submit(request, stream) == Outcome::done, "a step's reduction");
    expect(kernels().submit(sum, stream) == Outcome::done, "a step's sum");
  };
  if (captured) {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    require(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), "begin of the capture");
    step();
    require(cudaStreamEndCapture(stream, &graph), "end of the capture");
    require(cudaGraphInstantiate(&executable, graph, 0), "a graph to launch");
    for (int k = 0; k < steps; ++k) require(cudaGraphLaunch(executable, stream), "launch of the graph");
    require(cudaStreamSynchronize(stream), "the replays");
    require(cudaGraphExecDestroy(executable), "end of the graph");
    require(cudaGraphDestroy(graph), "end of the graph");
  } else {
    for (int k = 0; k < steps; ++k) step();
    require(cudaStreamSynchronize(stream), "the steps");
  }
  require(cudaStreamDestroy(stream), "end of the stream");
  return {shared.read(), device_state.read(), counters.read(), out.read()};
}

void check_graph() {
  const int steps = 1000;
  const Run eager = run_steps(steps, false);
  const Run replayed = run_steps(steps, true);
  expect(eager.counters == std::vector<std::int64_t>{steps, 0}, "the step counter on the device");
  expect(replayed.counters == eager.counters && replayed.weights == eager.weights && replayed.state == eager.state &&
             replayed.sum == eager.sum,
         "1000 replays of a captured step differ from 1000 eager steps");
}

template <class E>
void check_type() {
  for (const std::int64_t shift : {0, 3}) {
    for (const int T : {1, 2, 3, 4, 5, 9, 64}) {
      check_gram<E>(T, {70001, 1, 2048, 333}, shift);
    }
    check_sum<E>(2, 100003, shift);
    check_sum<E>(7, 5001, shift);
  }
  check_gram<E>(2, std::vector<std::int64_t>(250, 37), 0);
  check_slices<E>({3, 5}, 40, 9);
  check_slices<E>({30, 50, 7}, 300, 1);
  check_slices<E>({1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, 6, 25);
}

}  // namespace

int main() {
  if (linked_kernels() == nullptr) {
    std::cout << "the kernels' unit is not linked\n";
    return 1;
  }
  std::string reason;
  if (!has_device(reason)) {
    std::cout << "skipped: " << reason << '\n';
    return 77;
  }
  check_type<float>();
  check_type<double>();
  check_type<Half>();
  check_type<BFloat16>();
  check_graph();
  std::cout << (failures == 0 ? "the kernels are right\n" : "the kernels are wrong\n");
  return failures == 0 ? 0 : 1;
}
