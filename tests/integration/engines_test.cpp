// SPDX-License-Identifier: Apache-2.0
// What the host's engine is shown and keeps: a loss scale that is written to, gradients of parameters on ranks, a rule that
// throws.
#include <cmath>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;

namespace {

/// A head's function that scales what it gets in place, as functions that reverse or damp gradients do.
struct Tenth : torch::autograd::Function<Tenth> {
  static Tensor forward(torch::autograd::AutogradContext*, const Tensor& x) { return x.clone(); }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext*, torch::autograd::variable_list gradients) {
    return {gradients[0].mul_(0.1)};
  }
};

/// A shared layer and a head for each of two tasks.
struct Pair {
  Pair() {
    torch::manual_seed(5);
    for (auto* layer : {&trunk, &a, &b}) {
      *layer = torch::nn::Linear(torch::nn::LinearOptions(4, layer == &trunk ? 4 : 1));
      (*layer)->to(torch::kDouble);
    }
    x = torch::randn({3, 4}, torch::kDouble);
  }
  torch::nn::Linear trunk{nullptr}, a{nullptr}, b{nullptr};
  Tensor x;
};

/// Gives each task the number of its calls so far as weight, unless it is told to throw.
struct Counts {
  static constexpr const char* name = "Counts";
  static constexpr fuller::Needs needs{true, false};
  static constexpr fuller::Surface default_surface = fuller::Surface::last_shared;
  static constexpr fuller::ApplyTo default_apply_to = fuller::ApplyTo::all;

  std::shared_ptr<bool> throws;

  int state_size(int) const { return 1; }
  int scratch_size(int) const { return 0; }
  void initialise(int, double* state) const { state[0] = 0; }
  template <class Lanes, int Tasks>
  void operator()(Lanes, const fuller::Evidence<Tasks>& evidence, double* state, double* weights, double*) const {
    state[0] += 1;
    if (*throws) {
      throw std::runtime_error("no answer");
    }
    for (int i = 0; i < evidence.tasks(); ++i) {
      weights[i] = state[0];
    }
  }
};

}  // namespace

TEST_CASE("A loss whose function changes the loss scale in place is refused, and no step is taken") {
  Pair net;
  Calibration calibration(fuller::GradNorm(), {"a", "b"});
  const auto z = calibration.fork<2>(net.trunk->forward(net.x).tanh());
  // The first is made first, so its backward runs last of the two: the other has got the scale as it was.
  const Tensor first = Tenth::apply(net.a->forward(z[0]).pow(2).mean());
  const Tensor loss = calibration.sum({first, net.b->forward(z[1]).pow(2).mean() * 3});
  std::string words;
  try {
    loss.backward();
  } catch (const fuller::Error& error) {
    words = error.what();
  }
  CHECK(contains(words, "between a loss and fork() changes the gradient that it is given in place"));
  CHECK(calibration.steps() == 0);
  CHECK_FALSE(net.trunk->weight.grad().defined());
}

TEST_CASE("On ranks, gradients of parameters are compared as they are, whatever the surface is called") {
  Pair net;
  net.trunk->weight.set_requires_grad(false);
  net.trunk->bias.set_requires_grad(false);
  CalibrationOptions options;
  options.surface = fuller::Surface::representation;
  options.measure_every = 1;
  options.ranks.count = 2;
  options.ranks.average = [](Tensors&) {};  // two ranks with the same numbers
  Calibration calibration(fuller::DWA(), {"a", "b"}, options);
  const auto z = calibration.fork<2>(net.trunk->forward(net.x));
  calibration.sum({net.a->forward(z[0]).pow(2).mean(), net.b->forward(z[1]).pow(2).mean()}).backward();
  const double length =
      std::sqrt(net.a->weight.grad().pow(2).sum().item<double>() + net.a->bias.grad().pow(2).sum().item<double>());
  CHECK(calibration.diagnostics().norms[0] == Approx(length).epsilon(1e-12));
}

TEST_CASE("A rule that throws has changed nothing: the next step is the one it would have been") {
  Pair net;
  const auto throws = std::make_shared<bool>(false);
  Calibration calibration(Counts{throws}, {"a", "b"});
  const auto step = [&] {
    const auto z = calibration.fork<2>(net.trunk->forward(net.x));
    calibration.sum({net.a->forward(z[0]).pow(2).mean(), net.b->forward(z[1]).pow(2).mean()}).backward();
  };
  step();
  *throws = true;
  CHECK(contains(thrown_by(step), "no answer"));
  *throws = false;
  CHECK(calibration.steps() == 1);
  step();
  CHECK(calibration.diagnostics().weights[0] == 2);
}
