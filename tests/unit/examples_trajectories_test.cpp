// SPDX-License-Identifier: Apache-2.0
// Two losses of two parameters, of which it is known where a rule leads: gradients by differences, ends by geometry.
#include <cmath>
#include <string>
#include <vector>

#include "../../examples/12_trajectories/descent.hpp"
#include "../../examples/12_trajectories/problem.hpp"
#include "support/catch.hpp"

namespace {

using namespace example;

constexpr double pi = 3.14159265358979323846;

void check_gradients(const Problem& problem, const Point& x) {
  const Losses here = problem.at(x);
  for (std::size_t k = 0; k < 2; ++k) {
    const double h = 1e-6;
    Point above = x;
    Point below = x;
    above[k] += h;
    below[k] -= h;
    for (std::size_t i = 0; i < 2; ++i) {
      const double slope = (problem.at(above).values[i] - problem.at(below).values[i]) / (2 * h);
      INFO("loss " << i << " by parameter " << k << " at " << x[0] << ", " << x[1]);
      CHECK(here.gradients[i][k] == Approx(slope).epsilon(1e-5).margin(1e-6));
    }
  }
}

double distance(const Point& a, const Point& b) { return std::hypot(a[0] - b[0], a[1] - b[1]); }

/// Where the rule ends, on the line between the minima.
template <class Rule>
double end_on_line(const Quadratics& knobs, const Point& start, const Rule& rule) {
  const Point end = along(quadratics(knobs), start, rule, 1e-3, 40000);
  INFO(Rule::name << " ends at " << end[0] << ", " << end[1]);
  CHECK(std::fabs(end[1]) < 0.02);
  CHECK(std::fabs(end[0]) <= knobs.distance / 2 + 0.01);
  return end[0];
}

}  // namespace

TEST_CASE("The problems' gradients are those of their losses", "[examples]") {
  for (const Point& start : toy_starts()) {
    if (start[1] != 0) {  // the halves meet there
      check_gradients(toy(), start);
    }
  }
  check_gradients(toy(1), {3.1, -4.2});
  check_gradients(toy(), {-2.7, 0.4});
  Quadratics knobs;
  knobs.scale = 7;
  check_gradients(quadratics(knobs), {0.3, 1.9});
  // CAGrad's program at (0, -8): (49 + 0) tanh(4) / 10 - 20 tanh(4), for both.
  CHECK(toy(1).at({0, -8}).values[0] == Approx((4.9 - 20) * std::tanh(4)));
  CHECK(toy(1).at({0, -8}).values[1] == Approx((4.9 - 20) * std::tanh(4)));
}

TEST_CASE("The knob of the angle is the angle between the gradients", "[examples]") {
  for (const double angle : {0.3, pi / 2, 2.8}) {
    for (const double lean : {-0.6, 0.0, 0.5}) {
      const Quadratics knobs;
      const Losses seen = quadratics(knobs).at(seen_under(knobs, angle, lean));
      const auto& g = seen.gradients;
      const double cosine = (g[0][0] * g[1][0] + g[0][1] * g[1][1]) / std::hypot(g[0][0], g[0][1]) / std::hypot(g[1][0], g[1][1]);
      CHECK(std::acos(cosine) == Approx(angle));
    }
  }
}

TEST_CASE("The plain sum ends at the weighted mean of the minima", "[examples]") {
  for (const double scale : {0.1, 1.0, 30.0}) {
    Quadratics knobs;
    knobs.scale = scale;
    const double end = end_on_line(knobs, seen_under(knobs, 1, 0.2), fuller::Uniform());
    CHECK(end == Approx(2 * (scale - 1) / (scale + 1)).margin(0.01));
  }
}

TEST_CASE("Equal projections follow a hyperbola around the minima, whatever the units", "[examples]") {
  for (const double scale : {1.0, 100.0, 1e-6}) {
    for (const double angle : {0.6, 2.2}) {
      for (const double lean : {-0.5, 0.0, 0.4}) {
        Quadratics knobs;
        knobs.scale = scale;
        const Point start = seen_under(knobs, angle, lean);
        // The bisector of the two directions keeps the difference of the distances, which on the line is 2 x.
        const auto centres = minima(knobs);
        const double right = (distance(start, centres[0]) - distance(start, centres[1])) / 2;
        CHECK(end_on_line(knobs, start, fuller::IMTL_G()) == Approx(right).margin(0.02));
        CHECK(end_on_line(knobs, start, fuller::ConFIG()) == Approx(right).margin(0.02));
        CHECK(end_on_line(knobs, start, fuller::NashMTL()) == Approx(right).margin(0.02));
        CHECK(end_on_line(knobs, start, fuller::FairGrad()) == Approx(right).margin(0.02));
      }
    }
  }
}

TEST_CASE("MGDA falls at right angles onto the line where the bowls are alike", "[examples]") {
  const Quadratics knobs;
  for (const double lean : {-0.3, 0.0, 0.25}) {
    const Point start = seen_under(knobs, 1.8, lean);
    CHECK(end_on_line(knobs, start, fuller::MGDA()) == Approx(start[0]).margin(0.01));
  }
}

TEST_CASE("Rules that never harm a task end between the minima, at any scale and conflict", "[examples]") {
  for (const double scale : {1.0, 50.0}) {
    for (const double angle : {0.5, 2.0}) {
      Quadratics knobs;
      knobs.scale = scale;
      const Point start = seen_under(knobs, angle, 0.3);
      end_on_line(knobs, start, fuller::UPGrad());
      end_on_line(knobs, start, fuller::DualProj());
      end_on_line(knobs, start, fuller::CAGrad());
      end_on_line(knobs, start, fuller::MGDA());
      end_on_line(knobs, start, fuller::PCGrad());
      end_on_line(knobs, start, fuller::AlignedMTL());
    }
  }
}

TEST_CASE("On the toy problem the sum is caught where Nash-MTL comes through", "[examples]") {
  // Nash-MTL's figure: from each of its five starts it reaches the front, the sum (of losses in unlike units) not from all.
  const auto reached = [](const auto& rule) {
    int count = 0;
    for (const Point& start : toy_starts()) {
      const Point end = by_adam(toy(), start, rule, 35000, 35000).back();
      count += std::fabs(end[1] + 8.3552) < 0.3 && std::fabs(end[0]) < 7.3 ? 1 : 0;
    }
    return count;
  };
  CHECK(reached(fuller::NashMTL()) == 5);
  CHECK(reached(fuller::Uniform()) < 5);
}
