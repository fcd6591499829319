// SPDX-License-Identifier: Apache-2.0
// Steps of several micro-batches, and the same as one batch of all their samples.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/networks.hpp"

namespace accumulation_test {

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;
using fuller::NonFinite;
using fuller::Surface;

inline constexpr int tasks = 3;
inline constexpr std::int64_t samples = 20;

using Presence = std::vector<int>;
inline const Presence all_present(tasks, 1);

inline CalibrationOptions at_surface(Surface surface) {
  CalibrationOptions options;
  options.surface = surface;
  return options;
}

inline Network network() { return linear_network(tasks, torch::kDouble, samples); }

/// One step in so many micro-batches of equal size; its gradients stay in the network.
inline void step(Calibration& calibration, Network& net, const Tensor& x, int micro_batches, bool forks = true,
                 double scale = 1) {
  calibration.accumulate(micro_batches);
  const std::int64_t rows = x.size(0) / micro_batches;
  for (int j = 0; j < micro_batches; ++j) {
    const Tensor part = x.slice(0, j * rows, (j + 1) * rows);
    (summed_loss(calibration, net, part, all_present, forks) * (scale / micro_batches)).backward();
  }
}

inline void descend(const Tensors& parameters) {
  const torch::NoGradGuard no_grad;
  for (const Tensor& parameter : parameters) {
    if (parameter.grad().defined()) {
      parameter.sub_(0.02 * parameter.grad());
      parameter.mutable_grad() = Tensor();
    }
  }
}

struct Trace {
  Tensors gradients;
  std::vector<double> weights;
  std::vector<double> norms;
};

inline Trace trained(Calibration& calibration, int micro_batches, bool forks, double scale = 1) {
  Network net = network();
  Trace trace;
  for (int number = 0; number < 4; ++number) {
    step(calibration, net, net.input(number), micro_batches, forks, scale);
    append(trace.gradients, gradients_of(net.parameters()));
    const Diagnostics seen = calibration.diagnostics();
    trace.weights.insert(trace.weights.end(), seen.weights.begin(), seen.weights.end());
    trace.norms.insert(trace.norms.end(), seen.norms.begin(), seen.norms.end());
    descend(net.parameters());
    if (number == 1) {
      calibration.end_epoch();
    }
  }
  return trace;
}

inline void expect_equal(const Trace& mine, const Trace& whole, double tolerance = 1e-12) {
  CHECK(difference_of(mine.weights, whole.weights) < tolerance);
  CHECK(difference_of(mine.norms, whole.norms) < tolerance);
  CHECK(difference(mine.gradients, whole.gradients) < tolerance);
}

inline void expect_one_big_batch(const char* name, const MakesCalibration& make, const CalibrationOptions& options,
                                 bool forks = true) {
  Calibration big = make(options);
  const Trace whole = trained(big, 1, forks);
  for (const int micro_batches : {2, 5}) {
    INFO(name << ", " << micro_batches << " micro-batches, " << (forks ? "forked" : "not forked"));
    Calibration several = make(options);
    expect_equal(trained(several, micro_batches, forks), whole);
    CHECK(several.steps() == big.steps());
  }
}

template <class Rule>
void expect_one_big_batch(const Rule& rule, const CalibrationOptions& options, bool forks = true) {
  const auto make = [&](CalibrationOptions with) { return Calibration(rule, task_names(tasks), std::move(with)); };
  expect_one_big_batch(Rule::name, make, options, forks);
}

}  // namespace accumulation_test
