// SPDX-License-Identifier: Apache-2.0
// MLB, OGM, AGM, CGGM: their papers' formulas worked out by hand, and what every known gate law keeps.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <fuller/gates/gates.hpp>

#include "support/catch.hpp"
#include "support/gate_steps.hpp"
#include "support/known.hpp"

using fuller::AGM;
using fuller::CGGM;
using fuller::GateEvidence;
using fuller::MLB;
using fuller::OGM;
using fuller::testing::BranchStep;
using fuller::testing::GateRunner;

namespace {

constexpr double no_number = std::numeric_limits<double>::quiet_NaN();
constexpr double infinity = std::numeric_limits<double>::infinity();

void check(const std::vector<double>& actual, const std::vector<double>& expected, double margin = 1e-14) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t m = 0; m < actual.size(); ++m) {
    INFO("branch " << m << ": " << actual[m] << ", expected " << expected[m]);
    CHECK(std::abs(actual[m] - expected[m]) <= margin * std::max(1.0, std::abs(expected[m])));
  }
}

MLB by_scores() {
  fuller::MLBOptions options;
  options.evidence = GateEvidence::scores;
  return MLB(options);
}

/// Calls f(law) with each known law, and with those of their options that compare otherwise.
template <class F>
void for_every_law(const F& f) {
  fuller::testing::for_every_known_gate(f);
  f(by_scores());
  fuller::CGGMOptions rho;
  rho.rho = 1.2;
  f(CGGM(rho));
}

/// Levels > 0 of M branches, in steps one after the other.
std::vector<std::vector<double>> some_levels(int branches, int steps) {
  std::mt19937_64 random(static_cast<unsigned>(branches));
  std::lognormal_distribution<double> level(-1, 1);
  std::vector<std::vector<double>> all(static_cast<std::size_t>(steps));
  for (std::vector<double>& levels : all) {
    for (int m = 0; m < branches; ++m) {
      levels.push_back(level(random));
    }
  }
  return all;
}

template <class Law>
bool leaves_equal_ones_alone(const Law& law) {
  if constexpr (std::is_same_v<Law, CGGM>) {
    return law.options.rho == 0;
  } else {
    static_cast<void>(law);
    return true;
  }
}

std::string said(const std::function<void()>& f) {
  try {
    f();
  } catch (const fuller::Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("MLB's scales at single ratios, by norms and by scores") {
  for (const MLB& law : {MLB(), by_scores()}) {
    GateRunner<MLB> two(law, 2);
    check(two({3.7, 1}), {1 + std::tanh(.5 * (1 / 3.7 - 1)), 1 + std::tanh(.5 * 2.7)});
    check(two({3.7, 1}), {.6505, 1.8741}, 5e-5);  // no memory
    check(two({1, 10}), {1.9998, .5781}, 8e-5);
    check(two({2, 2}), {1, 1}, 0);
    GateRunner<MLB> three(law, 3);  // each against the mean of the others: 4, 3.5 / 2, 1.5 / 6
    check(three({1, 2, 6}), {1 + std::tanh(1.5), 1 + std::tanh(.375), 1 - std::tanh(.375)});
  }
}

TEST_CASE("MLB has no jump at balance, and tends to its limits") {
  fuller::MLBOptions options;
  options.alpha = 2;
  options.beta = 3;
  GateRunner<MLB> gates(MLB(options), 2);
  for (const double tilt : {1e-3, 1e-6, 1e-9}) {
    // k = 1 + alpha (r - 1) + O((r - 1)^2) below, and (beta - 1) times that above.
    check(gates({1 + tilt, 1}), {1 - 2 * tilt, 1 + 2 * 2 * tilt}, 20 * tilt * tilt + 1e-15);
  }
  check(gates({1e9, 1}), {1 - std::tanh(2.0), 3}, 1e-8);
  options.beta = 1;
  check(GateRunner<MLB>(MLB(options), 2)({5, 1}), {1 - std::tanh(2 * .8), 1});  // nothing gains
}

TEST_CASE("OGM slows the branch ahead, and no other") {
  GateRunner<OGM> two(OGM(), 2);
  check(two({.6, .2}), {1 - std::tanh(.9), 1});
  check(two({.2, .6}), {1, 1 - std::tanh(.9)});
  check(two({.4, .4}), {1, 1}, 0);
  check(two({.4 * (1 + 1e-14), .4}), {1, 1}, 0);
  check(two({.4 * (1 + 1e-9), .4}), {1 - std::tanh(.3), 1}, 1e-8);  // the paper's jump
  check(GateRunner<OGM>(OGM(), 3)({.6, .2, .4}), {1 - std::tanh(.6), 1, 1});
  check(two({1, 1e-9}), {1e-6, 1}, 0);  // the floor
}

TEST_CASE("AGM compares how far a branch is ahead with how far it usually is") {
  GateRunner<AGM> two(AGM(), 2);
  check(two({-.5, -1}), {1, 1}, 0);
  // Means (-.35, -1.1): as a rule .75 ahead, now 1.
  check(two({-.2, -1.2}), {std::exp(std::exp(.75) - std::exp(1.0)), std::exp(std::exp(-.75) - std::exp(-1.0))});
  // Means of three steps: (-.5, -1); now the first is 1 behind.
  check(two({-.8, -.8}), {std::exp(std::exp(.5) - 1), std::exp(std::exp(-.5) - 1)});
  fuller::AGMOptions options;
  options.alpha = .1;
  options.most = 2;
  GateRunner<AGM> three(AGM(options), 3);
  check(three({-1, -2, -3}), {1, 1, 1}, 0);
  // Means (-3, -2, -3): ahead of the others' mean by -.5, 1, -.5; now (-5, -2, -3): by -2.5, 2, .5; e - e^2 is below -2.
  check(three({-5, -2, -3}), {std::exp(.1 * (std::exp(-.5) - std::exp(-2.5))), std::exp(.1 * (std::exp(1.0) - std::exp(2.0))),
                              std::exp(.1 * (std::exp(-.5) - std::exp(.5)))});
  // Far behind what it was: as much as `most` allows, and no more.
  GateRunner<AGM> falls(AGM(options), 2);
  falls({10, 0});
  check(falls({0, 10}), {std::exp(.1 * (1 - std::exp(-10.0))), 1e-6}, 1e-12);
  falls({20, 0});
  CHECK(falls({-20, 0})[0] <= std::exp(.2));
}

TEST_CASE("AGM's gains end at `most`") {
  fuller::AGMOptions options;
  options.most = 2;
  GateRunner<AGM> gates(AGM(options), 2);
  gates({3, 0});
  check(gates({3, 0}), {1, 1}, 1e-12);
  // Mean lead (3 + 3 + 0) / 3 = 2: e^2 - 1 = 6.4 counts as 2.
  CHECK(gates({0, 0})[0] == Approx(std::exp(2.0)).epsilon(1e-14));
}

TEST_CASE("AGM has a scale for scores however far apart") {
  GateRunner<AGM> gates(AGM(), 2);
  check(gates({1000, 0}), {1, 1}, 0);  // leads of 1000, now and as a rule
  check(gates({2000, 0}), {1, 1}, 0);
  // Means (1000, 1000): as a rule e^0 ahead, now by 0 and by more than exp() has.
  check(gates({0, 3000}), {std::exp(AGM().options.alpha), AGM().options.floor});
}

TEST_CASE("CGGM gives each branch the share that the others gained, within [0, M]") {
  GateRunner<CGGM> two(CGGM(), 2);
  check(two({.5, .4}), {1, 1}, 0);                   // nothing to compare with yet
  check(two({.6, .42}), {1.0 / 3, 5.0 / 3}, 1e-13);  // gains .1, .02 of .12, rho 2
  check(two({.4, .52}), {0, 2}, 0);                  // gains -.2, .1: -2 and 4
  check(two({.4, .52}), {1, 1}, 0);                  // none
  check(two({.5, .42}), {1, 1}, 0);                  // .1 and -.1 cancel but for rounding
  check(two({.4, .22}), {4.0 / 3, 2.0 / 3}, 1e-13);  // losses .1, .2: who lost most is slowed most
  fuller::CGGMOptions options;
  options.rho = 1.3;
  GateRunner<CGGM> four(CGGM(options), 4);
  four({0, 0, 0, 0});
  check(four({.1, .2, .3, .4}), {1.3 * .9, 1.3 * .8, 1.3 * .7, 1.3 * .6}, 1e-13);
  options.rho = .9;
  GateRunner<CGGM> weak(CGGM(options), 2);
  weak({0, 0});
  check(weak({.1, .2}), {.9 * 2 / 3, .9 / 3}, 1e-13);
  // A branch that comes later takes no part in its first step.
  GateRunner<CGGM> late(CGGM(), 3);
  BranchStep first = BranchStep::of({.1, .1, .1});
  first.present[2] = 0;
  late(first);
  check(late({.2, .4, .9}), {1.5, .5, 1}, 1e-13);
  check(late({.2, .4, .8}), {1.5, 1.5, 0}, 1e-13);
}

TEST_CASE("every gate law leaves equal branches alone, and scales follow the branches") {
  for (const int M : {2, 3, 8}) {
    for_every_law([&](const auto& law) {
      using Law = std::decay_t<decltype(law)>;
      INFO(Law::name << ", M = " << M);
      if (leaves_equal_ones_alone(law)) {
        GateRunner<Law> equal(law, M);
        for (const double level : {.3, .7, .2, 5.0}) {
          check(equal(std::vector<double>(std::size_t(M), level)), std::vector<double>(std::size_t(M), 1.0));
        }
      }
      GateRunner<Law> straight(law, M);
      GateRunner<Law> reversed(law, M);
      bool moved = false;
      for (std::vector<double> levels : some_levels(M, 6)) {
        std::vector<double> scales = straight(levels);
        CHECK(said([&] { law.check_scales(M, scales.data()); }).empty());
        moved = moved || std::any_of(scales.begin(), scales.end(), [](double scale) { return std::abs(scale - 1) > .01; });
        std::reverse(scales.begin(), scales.end());
        std::reverse(levels.begin(), levels.end());
        check(reversed(levels), scales, 1e-12);
      }
      CHECK(moved);
    });
  }
}

TEST_CASE("gate laws are blind to what all branches have in common") {
  const auto holds = [](const auto& law, const auto& transform) {
    using Law = std::decay_t<decltype(law)>;
    INFO(Law::name);
    for (const int M : {2, 5}) {
      GateRunner<Law> plain(law, M);
      GateRunner<Law> other(law, M);
      for (const std::vector<double>& levels : some_levels(M, 5)) {
        std::vector<double> transformed;
        for (const double level : levels) {
          transformed.push_back(transform(level));
        }
        check(other(transformed), plain(levels), 1e-11);
      }
    }
  };
  const auto in_other_units = [](double level) { return 1e6 * level; };
  const auto in_tiny_units = [](double level) { return 1e-40 * level; };
  const auto from_another_zero = [](double level) { return level - 40; };
  holds(fuller::ModalityGate(), in_other_units);
  holds(MLB(), in_other_units);
  holds(by_scores(), in_other_units);
  holds(OGM(), in_other_units);
  holds(CGGM(), in_other_units);
  holds(fuller::ModalityGate(), in_tiny_units);
  holds(MLB(), in_tiny_units);
  holds(by_scores(), in_tiny_units);
  holds(OGM(), in_tiny_units);
  holds(CGGM(), in_tiny_units);
  holds(CGGM(), from_another_zero);
  holds(AGM(), from_another_zero);
}

TEST_CASE("a branch that is absent, or has nothing to compare, takes no part in any gate law") {
  for_every_law([&](const auto& law) {
    using Law = std::decay_t<decltype(law)>;
    for (int how = 0; how < 4; ++how) {
      INFO(Law::name << ", " << how);
      GateRunner<Law> three(law, 3);
      GateRunner<Law> two(law, 2);
      for (const std::vector<double>& levels : some_levels(2, 4)) {
        BranchStep step = BranchStep::of({levels[0],
                                          how == 0   ? 7.0
                                          : how == 1 ? no_number
                                          : how == 2 ? infinity
                                                     : 3.0,
                                          levels[1]});
        step.present[1] = how == 0 || how == 3 ? 0 : 1;
        if (how == 3) {  // what is unspecified is not read
          step.scores[1] = step.squared_norms[1] = no_number;
        }
        const std::vector<double> scales = three(step);
        const std::vector<double> expected = two(levels);
        CHECK(scales == std::vector<double>{expected[0], 1, expected[1]});
      }
      // Alone, there is nothing to compare with.
      BranchStep alone = BranchStep::of({.5, .25, .1});
      alone.present = {0, 0, 1};
      CHECK(three(alone) == std::vector<double>{1, 1, 1});
      if constexpr (fuller::detail::gate_checks_state<Law>::value) {
        CHECK(said([&] { law.check_state(3, three.state.data()); }).empty());
      }
    }
  });
}

TEST_CASE("a score that is no number > 0 takes no part where scores are divided") {
  for (const double score : {0.0, -1.0}) {
    check(GateRunner<OGM>(OGM(), 3)({.6, score, .2}), {1 - std::tanh(.9), 1, 1});
    check(GateRunner<MLB>(by_scores(), 3)({2, score, 2}), {1, 1, 1}, 0);
  }
}

TEST_CASE("options and states of gate laws that make no sense are refused") {
  const auto objection = [](const auto& law, int branches = 2) {
    std::vector<double> state(std::size_t(law.state_size(2) + 1));
    return said([&] { law.initialise(branches, state.data()); });
  };
  const auto mentions = [](const std::string& text, const std::vector<std::string>& words) {
    for (const std::string& word : words) {
      INFO("'" << text << "' and '" << word << "'");
      CHECK(text.find(word) != std::string::npos);
    }
  };
  fuller::testing::for_every_known_gate([&](const auto& law) {
    CHECK(objection(law).empty());
    std::vector<double> state(std::size_t(law.state_size(64)) + 1);
    CHECK(said([&] { law.initialise(64, state.data()); }).empty());
    mentions(objection(law, 65), {"65 branches"});
    mentions(objection(law, 1), {"1 branches", "2 to 64"});
  });
  fuller::MLBOptions mlb;
  mlb.beta = .5;
  mentions(objection(MLB(mlb)), {"MLB", "beta is 0.5", "[1, 100]"});
  fuller::OGMOptions ogm;
  ogm.floor = 0;
  mentions(objection(OGM(ogm)), {"OGM", "floor is 0"});
  fuller::AGMOptions agm;
  agm.most = 11;
  mentions(objection(AGM(agm)), {"AGM", "most is 11"});
  fuller::CGGMOptions cggm;
  cggm.rho = -1;
  mentions(objection(CGGM(cggm)), {"CGGM", "rho is -1"});
  const std::vector<double> no_mean{0, no_number, 1, 1};
  mentions(said([&] { AGM().check_state(2, no_mean.data()); }), {"AGM", "mean score of number 1", "damaged"});
  const std::vector<double> no_count{0, 0, 1, -1};
  mentions(said([&] { AGM().check_state(2, no_count.data()); }), {"number of steps of number 1"});
  const std::vector<double> no_flag{0, 0, .5, 1};
  mentions(said([&] { CGGM().check_state(2, no_flag.data()); }), {"CGGM", "flag of number 0"});
  const std::vector<double> scales{1, 2.5};
  mentions(said([&] { MLB().check_scales(2, scales.data()); }), {"MLB", "scale of number 1"});
  mentions(said([&] { OGM().check_scales(2, scales.data()); }), {"OGM", "scale of number 1"});
  mentions(said([&] { CGGM().check_scales(2, scales.data()); }), {"CGGM", "scale of number 1"});
}
