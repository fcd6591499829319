// SPDX-License-Identifier: Apache-2.0
#pragma once

// The calibrated step on a network of the tests, and what user code may throw into it.

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <ATen/autocast_mode.h>
#include <torch/torch.h>
#include <torch/version.h>

#include <fuller/fuller.hpp>

#include "support/networks.hpp"

namespace fuller::testing {

using MakesCalibration = std::function<Calibration(CalibrationOptions)>;

/// The losses downstream of the fork, summed by the calibration; tasks with `present[i] == 0` are absent.
inline Tensor calibrated_loss(Calibration& calibration, Network& net, const Tensor& x, const std::vector<int>& present = {},
                              double factor = 1.0, const Tensors& last_shared = {}) {
  const auto z = calibration.fork_levels(net.features(x), last_shared);
  Tensors losses;
  for (int i = 0; i < net.tasks(); ++i) {
    const auto task = static_cast<std::size_t>(i);
    const bool here = present.empty() || present[task] != 0;
    losses.push_back(here ? net.loss(i, z[task]) * factor : Tensor());
  }
  return calibration.sum(losses);
}

/// calibrated_loss(), or the same losses without a fork.
inline Tensor summed_loss(Calibration& calibration, Network& net, const Tensor& x, const std::vector<int>& present, bool forks) {
  if (forks) {
    return calibrated_loss(calibration, net, x, present);
  }
  const Tensors z = net.features(x);
  Tensors losses;
  for (int i = 0; i < net.tasks(); ++i) {
    losses.push_back(present[static_cast<std::size_t>(i)] != 0 ? net.loss(i, z) : Tensor());
  }
  return calibration.sum(losses);
}

/// .grad of all parameters after one calibrated backward from nothing.
inline Tensors calibrated_gradients(Calibration& calibration, Network& net, const Tensor& x,
                                    const std::vector<int>& present = {}) {
  clear(net.parameters());
  calibrated_loss(calibration, net, x, present).backward();
  return gradients_of(net.parameters());
}

/// Of the length of all: wPCGrad has weights of some hundreds, which projections make of small differences.
inline double difference_of(const std::vector<double>& a, const std::vector<double>& b) {
  return difference({torch::tensor(a, torch::kDouble)}, {torch::tensor(b, torch::kDouble)});
}

/// What `f` threw, or "" if it did not.
template <class F>
std::string thrown_by(const F& f) {
  try {
    f();
  } catch (const std::exception& error) {
    const std::string what = error.what();
    return what.empty() ? "an exception without words" : what;
  }
  return "";
}

inline bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

inline void set_cpu_autocast(bool on) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  at::autocast::set_autocast_enabled(at::kCPU, on);
#else
  at::autocast::set_cpu_enabled(on);
#endif
  if (!on) {
    at::autocast::clear_cache();
  }
}

/// An activation checkpoint as users write it: runs the module without a graph, and again, with one, inside the backward.
struct Checkpoint : torch::autograd::Function<Checkpoint> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, torch::nn::Sequential module) {
    context->save_for_backward({x});
    context->saved_data["module"] = reinterpret_cast<std::int64_t>(module.get());
    return module->forward(x);
  }
  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
    auto* module = reinterpret_cast<torch::nn::SequentialImpl*>(context->saved_data["module"].toInt());
    const Tensor x = context->get_saved_variables()[0].detach().requires_grad_();
    const torch::AutoGradMode on(true);
    const Tensor y = module->forward(x);
    torch::autograd::backward({y}, {gradients[0]});
    return {x.grad(), Tensor()};
  }
};

/// The identity, whose backward throws.
struct Fails : torch::autograd::Function<Fails> {
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) { return x.clone(); }
  static Tensors backward(torch::autograd::AutogradContext*, const Tensors&) { throw std::runtime_error("boom"); }
};

/// The identity, whose backward gives no gradient on.
struct Silent : torch::autograd::Function<Silent> {
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) { return x.clone(); }
  static Tensors backward(torch::autograd::AutogradContext*, const Tensors&) { return {Tensor()}; }
};

/// The identity, whose backward replaces the gradient by `value`.
struct Replaces : torch::autograd::Function<Replaces> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, double value) {
    context->set_materialize_grads(false);
    context->saved_data["value"] = value;
    return x.clone();
  }
  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
    if (!gradients[0].defined()) {
      return {Tensor(), Tensor()};
    }
    return {torch::full_like(gradients[0], context->saved_data["value"].toDouble()), Tensor()};
  }
};

}  // namespace fuller::testing
