// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/eigen.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::EigenEvidence;
using fuller::EigenRule;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::WeightingRunner;

namespace {

struct InverseNorms {
  void operator()(const EigenEvidence& e, Eigen::Ref<Eigen::VectorXd> weights) const {
    weights = e.gram.diagonal().cwiseSqrt().cwiseInverse();
  }
};

/// Sum of the losses seen so far, starting from 10.
struct Memory {
  static constexpr const char* name = "Memory";
  static constexpr fuller::Needs needs{false, true};
  static constexpr fuller::Surface default_surface = fuller::Surface::representation;
  static constexpr fuller::ApplyTo default_apply_to = fuller::ApplyTo::shared_only;

  int state_size(int tasks) const { return tasks; }
  void initialise(int, Eigen::Ref<Eigen::VectorXd> state) const { state.setConstant(10); }
  void operator()(const EigenEvidence& e, Eigen::Ref<Eigen::VectorXd> weights, Eigen::Ref<Eigen::VectorXd> state) const {
    CHECK(e.gram.size() == 0);
    state += e.losses;
    weights = state;
  }
  bool heads_may_ascend() const { return true; }
};

/// Writes down what it is shown.
struct Witness {
  void operator()(const EigenEvidence& e, Eigen::Ref<Eigen::VectorXd> weights) const {
    CHECK(e.tasks == 3);
    CHECK(e.step == 5);
    CHECK(e.epoch == 6);
    CHECK(e.loss_scale == 7);
    CHECK(e.present[1] == 0);
    CHECK(e.gram.row(1).isZero(0));
    CHECK(e.gram.col(1).isZero(0));
    CHECK(e.losses[1] == 0);
    CHECK(e.gram(0, 2) == 2);
    CHECK(e.losses[2] == 3);
    weights.setConstant(4);
  }
};

static_assert(fuller::is_rule<EigenRule<InverseNorms>>::value);
static_assert(fuller::is_rule<EigenRule<Memory>>::value);
static_assert(!fuller::is_rule<InverseNorms>::value);

}  // namespace

TEST_CASE("a custom rule in plain Eigen, under the policies of all rules") {
  fuller::testing::Jacobian J(2, 2);
  J << 2, 0, 0, 4;
  WeightingRunner<EigenRule<InverseNorms>> run(EigenRule{InverseNorms{}}, 2);
  CHECK(run(step_of(J)) == std::vector<double>{.5, .25});
  Step alone = step_of(J);
  alone.present[0] = 0;
  CHECK(run(alone) == std::vector<double>{0, .25});
  static_assert(EigenRule<InverseNorms>::needs.gram && EigenRule<InverseNorms>::needs.losses);
  static_assert(EigenRule<InverseNorms>::default_surface == fuller::Surface::last_shared);
  static_assert(EigenRule<InverseNorms>::default_apply_to == fuller::ApplyTo::all);
  CHECK_FALSE(EigenRule<InverseNorms>().heads_may_ascend());
}

TEST_CASE("an Eigen rule may have state and members of its own") {
  Runner<EigenRule<Memory>> run(EigenRule{Memory{}}, 2);
  Step step;
  step.tasks = 2;
  step.losses = {1, 2};
  step.present = {1, 1};
  CHECK(run(step) == std::vector<double>{11, 12});
  CHECK(run(step) == std::vector<double>{12, 14});
  CHECK(run.state == std::vector<double>{12, 14});
  CHECK(std::string(EigenRule<Memory>::name) == "Memory");
  static_assert(!EigenRule<Memory>::needs.gram);
  static_assert(EigenRule<Memory>::default_surface == fuller::Surface::representation);
  static_assert(EigenRule<Memory>::default_apply_to == fuller::ApplyTo::shared_only);
  CHECK(EigenRule<Memory>().heads_may_ascend());
}

TEST_CASE("an Eigen rule sees zeros for absent tasks and cannot weight them") {
  fuller::testing::Jacobian J(3, 2);
  J << 1, 1, 5, 5, 1, 1;
  Step step = step_of(J);
  step.present[1] = 0;
  for (int k = 0; k < 3; ++k) {
    step.gram[std::size_t(3 + k)] = step.gram[std::size_t(3 * k + 1)] = std::nan("");
  }
  step.losses[1] = std::nan("");
  step.step = 5;
  step.epoch = 6;
  step.loss_scale = 7;
  Runner<EigenRule<Witness>> run(EigenRule{Witness{}}, 3);
  CHECK(run(step) == std::vector<double>{4, 0, 4});
}
