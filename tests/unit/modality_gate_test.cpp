// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <fuller/gates/modality_gate.hpp>

#include "support/catch.hpp"

using fuller::GateNorm;
using fuller::GateShape;
using fuller::ModalityGate;
using fuller::ModalityGateOptions;

namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

class Gates {
 public:
  explicit Gates(int branches, const ModalityGateOptions& options = {})
      : gate_(options), state(std::size_t(branches)), sizes(std::size_t(branches), 1), present(std::size_t(branches), 1) {
    gate_.initialise(branches, state.data());
  }

  std::vector<double> operator()(const std::vector<double>& norms) {
    std::vector<double> squares;
    for (const double norm : norms) {
      squares.push_back(norm * norm);
    }
    std::vector<double> scales(norms.size());
    std::vector<double> scratch(norms.size());
    gate_(fuller::Serial{}, view(squares), state.data(), scales.data(), scratch.data());
    return scales;
  }

  fuller::BranchEvidence<> view(const std::vector<double>& squares) const {
    fuller::BranchEvidence<> evidence;
    evidence.count = int(squares.size());
    evidence.squared_norms = squares.data();
    evidence.sizes = sizes.data();
    evidence.present = present.data();
    return evidence;
  }

 private:
  ModalityGate gate_;

 public:
  std::vector<double> state;
  std::vector<double> sizes;
  std::vector<std::uint8_t> present;
};

ModalityGateOptions without_memory() {
  ModalityGateOptions options;
  options.momentum = 0;
  return options;
}

void check(const std::vector<double>& actual, const std::vector<double>& expected, double margin = 1e-6) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t m = 0; m < actual.size(); ++m) {
    CHECK(actual[m] == Approx(expected[m]).margin(margin));
  }
}

}  // namespace

TEST_CASE("the gate's recurrence, worked out by hand") {
  Gates gates(2);
  check(gates({3.7, 1}), {.716807, 1});
  check(gates({3.7, 1}), {.660168, 1});
  check(gates({1, 2}), {.932034, .842100});
  check(gates({1, 1}), {.986407, .968420});
}

TEST_CASE("Eq. 6 at single ratios, jump at balance included") {
  Gates gates(2, without_memory());
  check(gates({1.7, 1}), {.83162, 1}, 1e-5);
  check(gates({1, 3.7}), {1, .64601}, 1e-5);
  check(gates({10, 1}), {.23841, 1}, 1e-5);
  check(gates({1, 1}), {1, 1}, 0);
  check(gates({1.0000001, 1}), {1 - std::tanh(.10000001), 1});
}

TEST_CASE("the gate keeps digits where tanh saturates, and has a floor") {
  Gates gates(2, without_memory());
  // 1 - tanh(z) = 2 exp(-2 z) / (1 + exp(-2 z)).
  CHECK(gates({60, 1})[0] == Approx(2 * std::exp(-12.0) / (1 + std::exp(-12.0))).epsilon(1e-13));
  CHECK(gates({1e3, 1})[0] == 1e-6);
  CHECK(gates({1e150, 1e138})[0] == 1e-6);
  ModalityGateOptions high = without_memory();
  high.floor = .3;
  CHECK(Gates(2, high)({10, 1})[0] == .3);
}

TEST_CASE("what the gate leaves of an imbalance is at most 0.27846 / alpha") {
  for (const double alpha : {.05, .1, .5}) {
    ModalityGateOptions options = without_memory();
    options.alpha = alpha;
    Gates gates(2, options);
    double most = 0;
    double at = 0;
    for (double r = 1.001; r < 10 / alpha; r += .001 / alpha) {
      const double left = r * gates({r, 1})[0];
      if (left > most) {
        most = left;
        at = r;
      }
    }
    // The maximum of x (1 - tanh x) is 0.27846 at x = 0.639; below r = 1 / alpha * 0.639 > 1 only if alpha < 0.639.
    CHECK(most == Approx(.278464 / alpha).epsilon(1e-5));
    CHECK(at == Approx(.6392 / alpha).epsilon(1e-2));
  }
}

TEST_CASE("a gate whose floor is 1 only measures") {
  // momentum + (1 - momentum) is 1 in doubles for every momentum: 1 - momentum is wrong by less than half of what 1 resolves.
  for (const double momentum : {0.0, 1e-17, 1e-9, .1, .2, 1.0 / 3, .499999, .7, .999999}) {
    for (const GateShape shape : {GateShape::paper, GateShape::continuous}) {
      ModalityGateOptions options;
      options.floor = 1;
      options.momentum = momentum;
      options.shape = shape;
      Gates gates(3, options);
      for (const std::vector<double>& norms : {std::vector<double>{1, 2, 3}, {1e150, 1, 1e-150}, {0, 7, 1}, {5, 1e4, 5}}) {
        CHECK(gates(norms) == std::vector<double>{1, 1, 1});
        CHECK(gates.state == std::vector<double>{1, 1, 1});
      }
    }
  }
}

TEST_CASE("the continuous step starts at 1") {
  ModalityGateOptions options = without_memory();
  options.shape = GateShape::continuous;
  Gates gates(2, options);
  check(gates({1 + 1e-9, 1}), {1, 1}, 1e-9);
  check(gates({3.7, 1}), {1 - std::tanh(.27), 1}, 1e-14);
}

TEST_CASE("norms per element do not see the branches' widths") {
  ModalityGateOptions options = without_memory();
  options.norm = GateNorm::rms;
  Gates gates(2, options);
  gates.sizes = {256, 80};
  // Equal elements: norms in the ratio of the roots of the sizes.
  check(gates({16 * (1 - 1e-9), std::sqrt(80.0)}), {1, 1 - std::tanh(.1)}, 1e-8);
  check(gates({32, std::sqrt(80.0)}), {1 - std::tanh(.2), 1}, 1e-12);
}

TEST_CASE("three branches: each against the mean of the others") {
  Gates gates(3, without_memory());
  // Means of the others: 2, 3.5, 4.
  check(gates({6, 3, 1}), {1 - std::tanh(.3), 1, 1}, 1e-14);
  check(gates({5, 5, 1}), {1 - std::tanh(.1 * 5 / 3), 1 - std::tanh(.1 * 5 / 3), 1}, 1e-14);
}

TEST_CASE("a branch that is absent, zero, NaN or infinite takes no part and keeps its gate") {
  for (const double bad : {0.0, std::nan(""), infinity, -1.0 /* absent */}) {
    Gates gates(3);
    gates({4, 2, 8});
    const std::vector<double> before = gates.state;
    Gates pair(2);
    pair.state = {before[0], before[2]};
    gates.present[1] = bad == -1.0 ? 0 : 1;
    const std::vector<double> scales = gates({4, bad, 8});
    const std::vector<double> expected = pair({4, 8});
    CHECK(scales == std::vector<double>{expected[0], 1, expected[1]});
    CHECK(gates.state == std::vector<double>{expected[0], before[1], expected[1]});
  }
}

TEST_CASE("a branch without a gradient keeps a gate that was closed before") {
  for (const double bad : {0.0, std::nan(""), infinity, -1.0 /* absent */}) {
    Gates gates(3);
    gates({4, 20, 8});
    const double closed = gates.state[1];
    CHECK(closed < .8);
    gates.present[1] = bad == -1.0 ? 0 : 1;
    CHECK(gates({4, bad, 8})[1] == 1);
    CHECK(gates.state[1] == closed);
  }
}

TEST_CASE("gates and gamma_modal of gradients of any length") {
  for (const double unit : {1e-140, 1e-30, 1e-7, 1e140}) {
    Gates plain(3);
    Gates other(3);
    INFO("unit " << unit);
    check(other({4 * unit, 2 * unit, 8 * unit}), plain({4, 2, 8}), 1e-12);
    CHECK(fuller::gamma_modal(plain.view({16 * unit * unit, unit * unit, 4 * unit * unit})) == Approx(4).epsilon(1e-12));
  }
}

TEST_CASE("with one branch left, or none, gates rest") {
  for (const std::vector<double>& norms : {std::vector<double>{3, 0}, {0, 0}, {std::nan(""), 1}, {infinity, infinity}}) {
    Gates gates(2);
    gates({5, 1});
    const std::vector<double> before = gates.state;
    CHECK(gates(norms) == std::vector<double>{1, 1});
    CHECK(gates.state == before);
  }
}

TEST_CASE("gamma_modal is the ratio of the largest to the smallest norm") {
  Gates gates(3);
  CHECK(fuller::gamma_modal(gates.view({16, 4, 1})) == 4);
  CHECK(fuller::gamma_modal(gates.view({16, 0, 4})) == 2);
  CHECK(fuller::gamma_modal(gates.view({16, std::nan(""), 0})) == 1);
  gates.present[2] = 0;
  CHECK(fuller::gamma_modal(gates.view({4, 16, 1})) == 2);
  gates.sizes = {1, 4, 1};
  CHECK(fuller::gamma_modal(gates.view({4, 16, 1}), GateNorm::rms) == 1);
}
