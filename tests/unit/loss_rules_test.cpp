// SPDX-License-Identifier: Apache-2.0
// What depends on losses and epochs alone: DWA, DTP, the schedules; and the constant rules.
#include <cmath>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::testing::Runner;
using fuller::testing::Step;

namespace {

Step losses_at(std::int64_t epoch, std::vector<double> losses) {
  Step step;
  step.tasks = int(losses.size());
  step.present.assign(losses.size(), 1);
  step.losses = std::move(losses);
  step.epoch = epoch;
  return step;
}

/// The probabilities of a distribution.
template <class Distribution>
class Probabilities {
 public:
  Probabilities(const Distribution& distribution, int tasks)
      : distribution_(distribution), state_(std::size_t(distribution.state_size(tasks)) + 1) {
    distribution_.initialise(tasks, state_.data());
  }

  std::vector<double> operator()(const Step& step) {
    std::vector<double> p(step.losses.size());
    distribution_(fuller::Serial{}, step.view(), state_.data(), p.data());
    double sum = 0;
    for (std::size_t i = 0; i < p.size(); ++i) {
      p[i] = step.present[i] != 0 ? std::exp(p[i]) : 0;
      sum += p[i];
    }
    for (double& value : p) {
      value /= sum;
    }
    return p;
  }

 private:
  Distribution distribution_;
  std::vector<double> state_;
};

fuller::DTPOptions dtp_options(double gamma, fuller::TaskVector scales) {
  fuller::DTPOptions options;
  options.gamma = gamma;
  options.scales = scales;
  return options;
}

}  // namespace

TEST_CASE("DWA: equal for two epochs, then by the ratio of their means") {
  Runner<fuller::DWA> run(fuller::DWA(), 2);
  CHECK(run(losses_at(0, {.5, 2})) == std::vector<double>{1, 1});
  CHECK(run(losses_at(0, {1.5, 0})) == std::vector<double>{1, 1});  // means (1, 1)
  CHECK(run(losses_at(1, {1, 6})) == std::vector<double>{1, 1});
  CHECK(run(losses_at(1, {1, 2})) == std::vector<double>{1, 1});  // means (1, 4)
  // r = (1, 4): 2 exp(1/2) / (exp(1/2) + exp(2)).
  const std::vector<double> weights = run(losses_at(2, {7, 8}));
  CHECK(weights[0] == Approx(.364851).margin(1e-6));
  CHECK(weights[1] == Approx(1.635149).margin(1e-6));
  CHECK(run(losses_at(2, {70, 80})) == weights);  // the same all epoch long
}

TEST_CASE("DWA does not overflow, and treats a mean of 0 as no news") {
  Runner<fuller::DWA> run(fuller::DWA(), 3);
  run(losses_at(0, {1e-9, 0, 1}));
  run(losses_at(1, {1e9, 5, 1}));
  const std::vector<double> weights = run(losses_at(2, {1, 1, 1}));
  CHECK(weights[0] == Approx(3));
  CHECK(weights[1] == 0);
  CHECK(weights[2] == 0);
  Runner<fuller::DWA> calm(fuller::DWA(), 2);
  calm(losses_at(0, {0, 1}));
  calm(losses_at(1, {5, 1}));
  CHECK(calm(losses_at(2, {1, 1})) == std::vector<double>{1, 1});
}

TEST_CASE("DWA carries the mean of an epoch that does not show a task") {
  Runner<fuller::DWA> run(fuller::DWA(), 2);
  run(losses_at(0, {1, 1}));
  run(losses_at(1, {2, 2}));
  Step without = losses_at(2, {1, 1});
  without.present[1] = 0;
  CHECK(run(without) == std::vector<double>{1, 0});
  // Means of task 0: 1, 2, 1, so r = 1/2; task 1: 1, 2, 2 (carried), so r = 1.
  const std::vector<double> weights = run(losses_at(3, {1, 1}));
  const double e_half = std::exp(.25);
  const double e_one = std::exp(.5);
  CHECK(weights[0] == Approx(2 * e_half / (e_half + e_one)));
  CHECK(weights[1] == Approx(2 * e_one / (e_half + e_one)));
}

TEST_CASE("DTP: loss shares to the power gamma, from the second epoch on") {
  for (const auto& [gamma, expected] : {std::pair<double, std::vector<double>>{2, {.071429, .285714, .642857}},
                                        {4, {.010204, .163265, .826531}},
                                        {1, {1. / 6, 2. / 6, 3. / 6}},
                                        {0, {1. / 3, 1. / 3, 1. / 3}}}) {
    Probabilities<fuller::DTP> p(fuller::DTP(dtp_options(gamma, {1, 1, 1})), 3);
    for (const double value : p(losses_at(0, {0, 1, 5}))) {
      CHECK(value == Approx(1. / 3));
    }
    p(losses_at(0, {2, 3, 1}));  // means (1, 2, 3)
    const std::vector<double> actual = p(losses_at(1, {9, 9, 9}));
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(actual[i] == Approx(expected[i]).margin(1e-6));
    }
  }
}

TEST_CASE("DTP: scale factors multiply the losses; measured ones make the second epoch uniform") {
  Probabilities<fuller::DTP> given(fuller::DTP(dtp_options(1, {1, 10})), 2);
  given(losses_at(0, {3, .1}));
  CHECK(given(losses_at(1, {1, 1}))[0] == Approx(.75));

  Probabilities<fuller::DTP> measured(fuller::DTP(dtp_options(1, {})), 2);
  measured(losses_at(0, {4, .2}));
  CHECK(measured(losses_at(1, {2, .2}))[0] == Approx(.5));
  // Means of epoch 1 over those of epoch 0: 1/2 and 1.
  CHECK(measured(losses_at(2, {1, 1}))[0] == Approx(1. / 3));
}

TEST_CASE("DTP: a task that was never shown has the mean of the others") {
  Probabilities<fuller::DTP> p(fuller::DTP(dtp_options(1, {1, 1, 1})), 3);
  Step first = losses_at(0, {1, 3, -1});
  first.present[2] = 0;
  p(first);
  const std::vector<double> actual = p(losses_at(1, {1, 1, 1}));
  CHECK(actual[0] == Approx(1. / 6));
  CHECK(actual[1] == Approx(3. / 6));
  CHECK(actual[2] == Approx(2. / 6));
}

TEST_CASE("DTP: losses that are not positive go last, and all of them is uniform") {
  Probabilities<fuller::DTP> p(fuller::DTP(dtp_options(2, {1, 1})), 2);
  p(losses_at(0, {-1, 2}));
  CHECK(p(losses_at(1, {0, 0}))[0] < 1e-20);
  CHECK(p(losses_at(2, {1, 1}))[0] == Approx(.5));
}

TEST_CASE("DTP does not overflow") {
  Probabilities<fuller::DTP> p(fuller::DTP(dtp_options(100, {1, 1})), 2);
  p(losses_at(0, {1e300, 2e300}));
  CHECK(p(losses_at(1, {1, 1}))[1] == Approx(1));
}

TEST_CASE("the paper's schedules change at 15/24 and 18/24 of training") {
  for (const std::int64_t epochs : {24, 48}) {
    Probabilities<fuller::PhaseSchedule> p(fuller::seg_to_vel(epochs, 2, 0), 4);
    for (std::int64_t epoch = 0; epoch < epochs + 2; ++epoch) {
      const std::vector<double> actual = p(losses_at(epoch, {1, 1, 1, 1}));
      INFO("epoch " << epoch << " of " << epochs);
      const std::int64_t scaled = epoch * 24 / epochs;
      if (scaled < 15) {
        CHECK(actual[2] == Approx(.95));
        CHECK(actual[0] == Approx(.05 / 3));
      } else if (scaled < 18) {
        CHECK(actual[2] == Approx(.25));
        CHECK(actual[0] == Approx(.25));
      } else {
        CHECK(actual[0] == Approx(.95));
        CHECK(actual[2] == Approx(.05 / 3));
      }
    }
  }
  Probabilities<fuller::PhaseSchedule> swapped(fuller::vel_to_seg(24, 2, 0, .8), 4);
  CHECK(swapped(losses_at(14, {1, 1, 1, 1}))[0] == Approx(.8));
  CHECK(swapped(losses_at(18, {1, 1, 1, 1}))[2] == Approx(.8));
}

TEST_CASE("a table of phases of one's own") {
  Probabilities<fuller::PhaseSchedule> p(fuller::PhaseSchedule(10, {{.1, 1, .7}, {.3, -1}, {.9, 0, .6}}), 2);
  const std::vector<double> second = {.7, .5, .5, .4, .4, .4, .4, .4, .4, .4, .4};
  for (std::size_t epoch = 0; epoch < second.size(); ++epoch) {
    CHECK(p(losses_at(std::int64_t(epoch), {1, 1}))[1] == Approx(second[epoch]));
  }
}

TEST_CASE("Uniform is the sum or the mean of the tasks present; Constant is what was given") {
  Step step = losses_at(0, {1, 1, 1});
  step.present[1] = 0;
  CHECK(Runner<fuller::Uniform>(fuller::Uniform(), 3)(step) == std::vector<double>{1, 0, 1});
  fuller::UniformOptions mean;
  mean.sum = fuller::WeightSum::one;
  CHECK(Runner<fuller::Uniform>(fuller::Uniform(mean), 3)(step) == std::vector<double>{.5, 0, .5});
  CHECK(Runner<fuller::Constant>(fuller::Constant({1, 5, 10}), 3)(step) == std::vector<double>{1, 0, 10});
}
