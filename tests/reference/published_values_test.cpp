// SPDX-License-Identifier: Apache-2.0
// Every rule on the two gradients (-4, 1, 1) and (6, 1, 1), on which TorchJD's tests have its aggregators' values (to four
// digits), and on three gradients and losses whose weights were derived apart, by the formulas or by scipy's least_squares on G w
// = w^(-1/alpha).
#include <cmath>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using fuller::testing::Jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::update;

namespace {

Jacobian two() { return (Jacobian(2, 3) << -4, 1, 1, 6, 1, 1).finished(); }
Jacobian three() { return (Jacobian(3, 3) << 1, 2, 0, 2, 0, 1, -1, 1, 3).finished(); }

template <class Rule>
std::vector<double> weights_of(const Rule& rule, const Jacobian& J) {
  return Runner<Rule>(rule, int(J.rows()))(step_of(J));
}

void check_near(const std::vector<double>& found, const std::vector<double>& expected, double margin) {
  REQUIRE(found.size() == expected.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    INFO("number " << i);
    CHECK(found[i] == Approx(expected[i]).margin(margin).epsilon(0));
  }
}

template <class Rule>
void check_two(const Rule& rule, const std::vector<double>& weights, const std::vector<double>& result) {
  INFO(Rule::name);
  const std::vector<double> found = weights_of(rule, two());
  if (!weights.empty()) {
    check_near(found, weights, 6e-5);
  }
  const Eigen::VectorXd d = update(two(), found);
  check_near({d(0), d(1), d(2)}, result, 6e-5);
}

}  // namespace

TEST_CASE("the values of TorchJD's tests") {
  check_two(fuller::Uniform(), {1, 1}, {2, 2, 2});
  check_two(fuller::Constant({1, 2}), {1, 2}, {8, 3, 3});
  check_two(fuller::IMTL_G(), {.5923, .4077}, {.0767, 1, 1});
  check_two(fuller::PCGrad(), {2.2222, 1.5789}, {.5848, 3.8012, 3.8012});
  check_two(fuller::GradVac(), {2.2222, 1.5789}, {.5848, 3.8012, 3.8012});
  check_two(fuller::MGDA(), {.6, .4}, {0, 1, 1});
  fuller::AlignedMTLOptions mean;
  mean.sum = fuller::WeightSum::one;
  check_two(fuller::AlignedMTL(mean), {.5591, .4083}, {.2133, .9673, .9673});
  check_two(fuller::UPGrad(), {1.1111, .7895}, {.2924, 1.9006, 1.9006});  // to 1e-3 of theirs, who regularise by 1e-4
  check_two(fuller::DualProj(), {.6111, .5}, {.5556, 1.1111, 1.1111});
  fuller::CAGradOptions half;
  half.c = .5;
  half.rescale = fuller::CAGradOptions::Rescale::one;
  check_two(fuller::CAGrad(half), {.7041, .5}, {.1835, 1.2041, 1.2041});
  check_two(fuller::FairGrad(), {.5915, .4071}, {.0766, .9985, .9985});
  check_two(fuller::NashMTL(), {}, {.0542, .7061, .7061});
  check_two(fuller::ConFIG(), {}, {.1588, 2.0706, 2.0706});
  check_two(fuller::PCD(), {1.848061, 1.095368}, {-.820033, 2.943429, 2.943429});
}

TEST_CASE("FairGrad's weights by a general solver of equations") {
  const auto fair = [](double alpha, const Jacobian& J) {
    fuller::FairGradOptions options;
    options.alpha = alpha;
    return weights_of(fuller::FairGrad(options), J);
  };
  check_near(fair(1, two()), {.591461, .407071}, 6e-7);
  check_near(fair(2, two()), {.471363, .319454}, 6e-7);
  check_near(fair(.5, two()), {.742828, .525393}, 6e-7);
  check_near(fair(5, two()), {.375942, .252310}, 6e-7);
  check_near(fair(1, three()), {.359128, .359128, .270626}, 6e-7);
  check_near(fair(2, three()), {.257120, .257120, .172276}, 6e-7);
}

TEST_CASE("weights from losses, derived by hand") {
  Step step = step_of(two());
  step.losses = {1, 2};
  const auto of = [&](const auto& rule) { return Runner<std::decay_t<decltype(rule)>>(rule, 2)(step); };
  check_near(of(fuller::DBMTL()), {1, .688247}, 6e-7);
  check_near(of(fuller::GO4Align()), {1.500075, .749963}, 6e-7);
  check_near(of(fuller::UW()), {.5, .5}, 1e-15);
  check_near(of(fuller::IMTL_L()), {1, 1}, 1e-15);
  check_near(of(fuller::FAMO()), {2.0 / 3, 1.0 / 3}, 1e-8);
  check_near(of(fuller::STCH()), {1 / (1 + std::exp(1)), 1 / (1 + std::exp(-1))}, 1e-15);
  check_near(of(fuller::GLS()), {std::sqrt(2) / 2, std::sqrt(2) / 4}, 1e-15);
  check_near(of(fuller::LDC()), {.5, .25}, 1e-15);
  check_near(of(fuller::Balancer()), {.5 / std::sqrt(18), .5 / std::sqrt(38)}, 1e-15);
}
