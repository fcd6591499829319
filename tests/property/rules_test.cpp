// SPDX-License-Identifier: Apache-2.0
// What every rule must keep, whatever the gradients: the properties that TorchJD tests its aggregators for, and those that follow
// from "scale-free", "state is data" and "nothing is allocated".
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <numeric>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

#include "support/catch.hpp"
#include "support/known.hpp"
#include "support/steps.hpp"

using fuller::testing::for_every_rule;
using fuller::testing::Jacobian;
using fuller::testing::random_jacobian;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;
using fuller::testing::update;
using fuller::testing::WeightingRunner;

namespace {

std::atomic<int> allocations{0};

}  // namespace

// The one way to see an allocation wherever it is made. Not inlined, since GCC would compare malloc with delete.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* const memory = std::malloc(size != 0 ? size : 1)) {
    return memory;
  }
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size != 0 ? size : 1);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace {

/// A run's steps: gradients in conflict, losses above 0, epochs of three steps; now and then a task is missing.
std::vector<Step> training(int T, int count, unsigned seed) {
  std::mt19937_64 random(seed);
  std::lognormal_distribution<double> loss;
  std::vector<Step> all;
  for (int k = 0; k < count; ++k) {
    Step step = step_of(random_jacobian(T, 2 * T + 3, random, 0.5));
    step.step = k;
    step.epoch = k / 3;
    for (double& value : step.losses) {
      value = loss(random);
    }
    if (T > 1 && k % 4 == 3) {
      step.present[std::size_t(k % T)] = 0;
    }
    all.push_back(step);
  }
  return all;
}

/// A matrix of the given rank.
Jacobian of_rank(int rows, int columns, int rank, std::mt19937_64& random) {
  return random_jacobian(rows, rank, random) * random_jacobian(rank, columns, random);
}

}  // namespace

TEST_CASE("weights are finite on matrices of any size, rank and scale") {
  std::mt19937_64 random(1);
  for (const auto& size : {std::array<int, 3>{1, 1, 1}, {4, 3, 1}, {4, 3, 2}, {4, 3, 3}, {9, 11, 5}, {9, 11, 9}}) {
    // No structured binding: clang 14 lets no lambda capture one.
    const int rows = size[0];
    const int columns = size[1];
    const int rank = size[2];
    for (const double scale : {0.0, 1e-18, 1e-10, 1.0, 1e3, 1e5, 1e10, 1e15, 1e18}) {
      const Step step = step_of(scale * of_rank(rows, columns, rank, random));
      for_every_rule(rows, [&](const auto& rule) {
        using Rule = std::decay_t<decltype(rule)>;
        INFO(Rule::name << " on " << rows << " x " << columns << ", rank " << rank << ", scale " << scale);
        WeightingRunner<Rule> run(rule, step.tasks);
        const double largest = scale == 0 ? 1e3 : 1e9;
        const double unit = scale == 0 ? 1 : fuller::testing::unit_of_weights(rule, scale);
        for (const double weight : run(step)) {
          CHECK(std::abs(weight) * unit < largest);
        }
        for (const double weight : run.heads) {
          const bool may_be_negative = fuller::detail::rule_heads_may_ascend<Rule>::value;
          CHECK((may_be_negative || weight >= 0));
          CHECK(std::isfinite(weight));
        }
      });
    }
  }
}

TEST_CASE("permuting the tasks permutes the weights of the rules without chance") {
  std::mt19937_64 random(2);
  for (const int T : {2, 3, 4, 9}) {
    std::vector<int> order(static_cast<std::size_t>(T));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    const auto check = [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      WeightingRunner<Rule> straight(rule, T);
      WeightingRunner<Rule> permuted(rule, T);
      for (const Step& step : training(T, 9, unsigned(T))) {
        Step other = step;
        for (int i = 0; i < T; ++i) {
          const int from = order[std::size_t(i)];
          other.losses[std::size_t(i)] = step.losses[std::size_t(from)];
          other.present[std::size_t(i)] = step.present[std::size_t(from)];
          for (int j = 0; j < T; ++j) {
            other.gram[std::size_t(i * T + j)] = step.gram[std::size_t(from * T + order[std::size_t(j)])];
          }
        }
        straight(step);
        permuted(other);
        INFO(Rule::name << ", T = " << T);
        for (int i = 0; i < T; ++i) {
          CHECK(permuted.shared[std::size_t(i)] == Approx(straight.shared[std::size_t(order[std::size_t(i)])]).epsilon(1e-9));
        }
      }
    };
    check(fuller::Uniform());
    check(fuller::IMTL_G());
    check(fuller::GradNorm());
    check(fuller::DWA());
    check(fuller::ConFIG());
    check(fuller::AlignedMTL());
    check(fuller::DBMTL());
    check(fuller::FairGrad());
    check(fuller::NashMTL());
    check(fuller::UPGrad());
    check(fuller::DualProj());
    check(fuller::MGDA());
    check(fuller::CAGrad());
    check(fuller::UW());
    check(fuller::IMTL_L());
    check(fuller::FAMO());
    check(fuller::STCH());
    check(fuller::GLS());
    check(fuller::GO4Align());
    check(fuller::Balancer());
  }
}

TEST_CASE("IMTL-G conflicts with no task, for any gradients in general position") {
  std::mt19937_64 random(3);
  for (int draw = 0; draw < 200; ++draw) {
    const int T = 2 + draw % 8;
    const Jacobian J = random_jacobian(T, T + 3 + draw % 20, random, draw % 3);
    const Eigen::VectorXd g = update(J, Runner<fuller::IMTL_G>(fuller::IMTL_G(), T)(step_of(J)));
    CHECK((J * g).minCoeff() > 0);
  }
}

TEST_CASE("IMTL-G's direction does not see the lengths of the gradients") {
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> exponent(-4, 4);
  for (int draw = 0; draw < 50; ++draw) {
    const int T = 2 + draw % 8;
    Jacobian J = random_jacobian(T, T + 20, random);
    const Eigen::VectorXd direction = update(J, Runner<fuller::IMTL_G>(fuller::IMTL_G(), T)(step_of(J))).normalized();
    for (int i = 0; i < T; ++i) {
      J.row(i) *= std::pow(10, exponent(random));
    }
    const Eigen::VectorXd again = update(J, Runner<fuller::IMTL_G>(fuller::IMTL_G(), T)(step_of(J))).normalized();
    CHECK((direction - again).norm() < 1e-10);
  }
}

TEST_CASE("constant weights are linear in the gradients' scales") {
  std::mt19937_64 random(5);
  const Jacobian J = random_jacobian(3, 5, random);
  const Eigen::Vector3d c_1(1, 2, 3);
  const Eigen::Vector3d c_2(5, .1, 1);
  const auto aggregate = [&](const auto& rule, const Eigen::Vector3d& c) {
    const Jacobian scaled = c.asDiagonal() * J;
    return update(scaled, Runner<std::decay_t<decltype(rule)>>(rule, 3)(step_of(scaled)));
  };
  const auto check = [&](const auto& rule) {
    const Eigen::VectorXd both = aggregate(rule, 2 * c_1 + 3 * c_2);
    CHECK((both - 2 * aggregate(rule, c_1) - 3 * aggregate(rule, c_2)).norm() < 1e-12 * both.norm());
  };
  check(fuller::Uniform());
  check(fuller::Constant({1, 2, 3}));
}

TEST_CASE("UPGrad is linear in the gradients' scales, where they conflict too") {
  std::mt19937_64 random(6);
  std::uniform_real_distribution<double> scale(0.1, 10);
  int in_conflict = 0;
  for (int draw = 0; draw < 60; ++draw) {
    const int T = 2 + draw % 7;
    const Jacobian J = random_jacobian(T, T + 2, random, 0.5);
    in_conflict += (J * J.transpose()).minCoeff() < 0;
    const Eigen::VectorXd c_1 = Eigen::VectorXd::NullaryExpr(T, [&] { return scale(random); });
    const Eigen::VectorXd c_2 = Eigen::VectorXd::NullaryExpr(T, [&] { return scale(random); });
    const auto aggregate = [&](const Eigen::VectorXd& c) {
      const Jacobian scaled = c.asDiagonal() * J;
      return update(scaled, Runner<fuller::UPGrad>(fuller::UPGrad(), T)(step_of(scaled)));
    };
    const Eigen::VectorXd both = aggregate(2 * c_1 + 3 * c_2);
    CHECK((both - 2 * aggregate(c_1) - 3 * aggregate(c_2)).norm() < 1e-10 * both.norm());
  }
  CHECK(in_conflict > 30);
}

TEST_CASE("a power-of-two loss scale leaves the weights bit for bit alone") {
  for (const int T : {2, 3, 4, 9}) {
    for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      for (const double scale : {0x1p16, 0x1p-10, 0x1p60}) {
        WeightingRunner<Rule> plain(rule, T);
        WeightingRunner<Rule> scaled(rule, T);
        for (const Step& step : training(T, 8, 6)) {
          Step large = step;
          large.loss_scale = scale;
          for (double& entry : large.gram) {
            entry *= scale * scale;
          }
          plain(step);
          scaled(large);
          INFO(Rule::name << ", T = " << T << ", loss scale " << scale);
          CHECK(scaled.shared == plain.shared);
          CHECK(scaled.state == plain.state);
        }
      }
    });
  }
}

TEST_CASE("a run that is saved and resumed in the middle equals the uninterrupted one bit for bit") {
  for (const int T : {2, 5}) {
    const std::vector<Step> steps = training(T, 20, 7);
    for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      for (const std::size_t stop : {1u, 7u, 13u}) {
        WeightingRunner<Rule> uninterrupted(rule, T);
        WeightingRunner<Rule> first(rule, T);
        for (std::size_t k = 0; k < stop; ++k) {
          uninterrupted(steps[k]);
          first(steps[k]);
        }
        const std::vector<double> saved = first.state;
        WeightingRunner<Rule> resumed(rule, T);
        resumed.state = saved;
        for (std::size_t k = stop; k < steps.size(); ++k) {
          uninterrupted(steps[k]);
          resumed(steps[k]);
          INFO(Rule::name << ", T = " << T << ", stopped before step " << stop << ", now " << k);
          CHECK(resumed.shared == uninterrupted.shared);
          CHECK(resumed.heads == uninterrupted.heads);
        }
        CHECK(resumed.state == uninterrupted.state);
      }
    });
  }
}

TEST_CASE("a stateful rule does depend on its state") {
  const std::vector<Step> steps = training(3, 8, 8);
  const auto check = [&](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    WeightingRunner<Rule> all(rule, 3);
    for (const Step& step : steps) {
      all(step);
    }
    WeightingRunner<Rule> last(rule, 3);
    last(steps.back());
    INFO(Rule::name);
    CHECK(all.shared != last.shared);
  };
  check(fuller::GradNorm());
  check(fuller::DWA());
  check(fuller::DBMTL());
  check(fuller::UW());
  check(fuller::IMTL_L());
  check(fuller::FAMO());
  check(fuller::GO4Align());
  check(fuller::LDC());
  check(fuller::Balancer());
}

TEST_CASE("no call allocates") {
  for (const int T : {2, 4, 64}) {
    const std::vector<Step> steps = training(T, 4, 9);
    for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      fuller::WeightingOptions options;
      options.before = fuller::TaskVector(std::vector<double>(std::size_t(T), 2.0));
      options.non_finite = fuller::NonFinite::throw_error;
      WeightingRunner<Rule> run(rule, T, options);
      const int before = allocations;
      for (const Step& step : steps) {
        run(step);
      }
      const int during = allocations - before;
      INFO(Rule::name << ", T = " << T);
      CHECK(during == 0);
    });
  }
  const int before = allocations;
  std::vector<double> one(1);
  CHECK(allocations - before >= 1);  // the counter counts
}

TEST_CASE("no call writes outside the state, weights and scratch it asked for") {
  constexpr double guard = 12345.678;
  for (const int T : {1, 2, 3, 4, 9, 64}) {
    for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      fuller::WeightingOptions options;
      options.before = fuller::TaskVector(std::vector<double>(std::size_t(T), 2.0));
      options.non_finite = fuller::NonFinite::throw_error;
      const fuller::Weighting<Rule> weighting(rule, options);
      const auto padded = [&](int size) { return std::vector<double>(std::size_t(size) + 4, guard); };
      std::vector<double> state = padded(weighting.state_size(T));
      std::vector<double> scratch = padded(weighting.scratch_size(T));
      std::vector<double> shared = padded(T);
      std::vector<double> heads = padded(T);
      std::vector<fuller::Condition> conditions(std::size_t(T) + 4, fuller::Condition::zero);
      weighting.initialise(T, state.data());
      for (Step step : training(T, 5, 10)) {
        if (step.step == 4) {
          step.losses[0] = std::nan("");
        }
        weighting(fuller::Serial{}, step.view(), state.data(),
                  fuller::WeightsView{shared.data(), heads.data(), conditions.data()}, scratch.data());
      }
      INFO(Rule::name << ", T = " << T);
      for (const std::vector<double>* part : {&state, &scratch, &shared, &heads}) {
        CHECK(std::count(part->end() - 4, part->end(), guard) == 4);
      }
      CHECK(std::count(conditions.end() - 4, conditions.end(), fuller::Condition::zero) == 4);
    });
  }
}

TEST_CASE("rules and their wrapper can be arguments of kernels") {
  for_every_rule(2, [](const auto& rule) {
    using Rule = std::decay_t<decltype(rule)>;
    static_assert(fuller::is_rule<Rule>::value);
    static_assert(std::is_trivially_copyable_v<Rule>);
    static_assert(std::is_trivially_copyable_v<fuller::Weighting<Rule>>);
    CHECK(sizeof(fuller::Weighting<Rule>) + sizeof(fuller::Evidence<>) + sizeof(fuller::WeightsView) <= 4096);
  });
  fuller::testing::for_every_known_gate([](const auto& law) {
    using Law = std::decay_t<decltype(law)>;
    static_assert(fuller::is_gate<Law>::value);
    static_assert(std::is_trivially_copyable_v<Law>);
    CHECK(law.state_size(8) <= 16);
  });
}
