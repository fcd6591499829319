// SPDX-License-Identifier: Apache-2.0
// UW, IMTL-L, RLW, FAMO, STCH, GLS, GO4Align, LDC-MTL and the Balancer: fixed points, derivatives of what each descends, and the
// papers' algorithms written out.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include <Eigen/Dense>

#include <fuller/calibrators/balancer.hpp>
#include <fuller/calibrators/famo.hpp>
#include <fuller/calibrators/gls.hpp>
#include <fuller/calibrators/go4_align.hpp>
#include <fuller/calibrators/imtl_l.hpp>
#include <fuller/calibrators/ldc.hpp>
#include <fuller/calibrators/rlw.hpp>
#include <fuller/calibrators/stch.hpp>
#include <fuller/calibrators/uw.hpp>

#include "support/catch.hpp"
#include "support/steps.hpp"

using Eigen::VectorXd;
using fuller::testing::Runner;
using fuller::testing::Step;
using fuller::testing::step_of;

namespace {

Step with_losses(const std::vector<double>& losses, int number = 0) {
  Step step = step_of(fuller::testing::Jacobian::Identity(Eigen::Index(losses.size()), Eigen::Index(losses.size())));
  step.losses = losses;
  step.step = number;
  return step;
}

std::vector<double> random_losses(int T, std::mt19937_64& random) {
  std::lognormal_distribution<double> loss;
  std::vector<double> all(static_cast<std::size_t>(T));
  std::generate(all.begin(), all.end(), [&] { return loss(random); });
  return all;
}

/// Central differences of f at the losses.
std::vector<double> derivative(const std::function<double(const std::vector<double>&)>& f, const std::vector<double>& at) {
  std::vector<double> slopes;
  for (std::size_t i = 0; i < at.size(); ++i) {
    const double h = 1e-6 * at[i];
    std::vector<double> above = at;
    std::vector<double> below = at;
    above[i] += h;
    below[i] -= h;
    slopes.push_back((f(above) - f(below)) / (2 * h));
  }
  return slopes;
}

/// To `share` of each number, and `of_largest` of the largest.
void check_near(const std::vector<double>& found, const std::vector<double>& expected, double share, double of_largest = 0) {
  const double largest = *std::max_element(expected.begin(), expected.end());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO("number " << i);
    CHECK(found[i] == Approx(expected[i]).epsilon(share).margin(of_largest * largest));
  }
}

}  // namespace

TEST_CASE("UW settles where e^s is the loss, and IMTL-L where scaled losses are 1") {
  Runner<fuller::UW> uw(fuller::UW(), 3);
  Runner<fuller::IMTL_L> imtl(fuller::IMTL_L(), 3);
  const Step step = with_losses({0.2, 1, 7});
  for (int k = 0; k < 4000; ++k) {
    uw(step);
    imtl(step);
  }
  check_near(uw(step), {0.5 / 0.2, 0.5, 0.5 / 7}, 1e-3);
  check_near(imtl(step), {1 / 0.2, 1, 1.0 / 7}, 1e-3);
}

TEST_CASE("UW and IMTL-L take Adam's first step, are each other's mirror, and stay within bounds") {
  fuller::UWOptions options;
  options.learning_rate = 0.1;
  options.initial = {0, 1};
  Runner<fuller::UW> uw(fuller::UW(options), 2);
  check_near(uw(with_losses({3, 0.5})), {0.5, 0.5 * std::exp(-1)}, 1e-15);  // of before the step
  // (1 - e^-s L) / 2 is -1 and +: Adam's first step is the learning rate.
  check_near(uw.state, {0.1, 0.9}, 1e-6);
  fuller::IMTL_L_Options mirrored;
  mirrored.learning_rate = 0.1;
  mirrored.initial = {0, -1};
  Runner<fuller::UW> one(fuller::UW(options), 2);
  Runner<fuller::IMTL_L> other(fuller::IMTL_L(mirrored), 2);
  std::mt19937_64 random(1);
  for (int k = 0; k < 50; ++k) {
    const Step step = with_losses(random_losses(2, random));
    const std::vector<double> twice = one(step);
    check_near(other(step), {2 * twice[0], 2 * twice[1]}, 1e-5);
  }
  Runner<fuller::UW> bounded(fuller::UW(options), 2);
  for (int k = 0; k < 2000; ++k) {
    bounded(with_losses({1e300, 0}));
  }
  CHECK(bounded.state[0] == 30);
  CHECK(bounded.state[1] == -30);
}

TEST_CASE("RLW draws the softmax of normal numbers, the same for the same seed and step") {
  Runner<fuller::RLW> run(fuller::RLW(), 3);
  double sum = 0;
  double squares = 0;
  const int steps = 4000;
  for (int k = 0; k < steps; ++k) {
    const std::vector<double> w = run(with_losses({1, 1, 1}, k));
    CHECK(w[0] + w[1] + w[2] == Approx(1).epsilon(1e-14));
    const double difference = std::log(w[0] / w[1]);  // of two normal numbers: mean 0, variance 2
    sum += difference;
    squares += difference * difference;
  }
  CHECK(std::abs(sum / steps) < 5 * std::sqrt(2.0 / steps));
  CHECK(squares / steps == Approx(2).margin(5 * 2 * std::sqrt(2.0 / steps)));
  CHECK(run(with_losses({9, 9, 9}, 7)) == Runner<fuller::RLW>(fuller::RLW(), 3)(with_losses({1, 1, 1}, 7)));
  fuller::RLWOptions options;
  options.seed = 1;
  options.sum = fuller::WeightSum::tasks;
  const std::vector<double> other = Runner<fuller::RLW>(fuller::RLW(options), 3)(with_losses({1, 1, 1}, 7));
  CHECK(other != run(with_losses({1, 1, 1}, 7)));
  CHECK(other[0] + other[1] + other[2] == Approx(3).epsilon(1e-14));
}

TEST_CASE("FAMO is its algorithm, with the losses after a step from the next one") {
  std::mt19937_64 random(2);
  const int T = 4;
  fuller::FAMOOptions options;
  options.least = {0.01, 0, 0.02, 0};
  Runner<fuller::FAMO> run(fuller::FAMO(options), T);
  VectorXd xi = VectorXd::Zero(T);
  VectorXd first = VectorXd::Zero(T);
  VectorXd second = VectorXd::Zero(T);
  VectorXd before(T);
  for (int k = 0; k < 30; ++k) {
    std::vector<double> losses = random_losses(T, random);
    VectorXd above(T);
    for (int i = 0; i < T; ++i) {
      losses[std::size_t(i)] += 0.05;
      above(i) = losses[std::size_t(i)] - options.least[i] + 1e-8;
    }
    if (k > 0) {
      const VectorXd z = xi.array().exp() / xi.array().exp().sum();
      const Eigen::MatrixXd jacobian = Eigen::MatrixXd(z.asDiagonal()) - z * z.transpose();
      const VectorXd gradient = jacobian * (before.array().log() - above.array().log()).matrix() + options.gamma * xi;
      first = 0.9 * first + 0.1 * gradient;
      second = 0.999 * second.array() + 0.001 * gradient.array().square();
      xi.array() -= options.learning_rate * (first.array() / (1 - std::pow(0.9, k))) /
                    ((second.array() / (1 - std::pow(0.999, k))).sqrt() + 1e-8);
    }
    before = above;
    VectorXd w = xi.array().exp() / above.array();
    w /= w.sum();
    check_near(run(with_losses(losses, k)), {w(0), w(1), w(2), w(3)}, 1e-9);
  }
}

TEST_CASE("FAMO with the losses after each step is its algorithm to the letter, and learns from each once") {
  std::mt19937_64 random(7);
  const int T = 3;
  const double gamma = fuller::FAMOOptions().gamma;
  const double rate = fuller::FAMOOptions().learning_rate;
  Runner<fuller::FAMO> run(fuller::FAMO(), T);
  VectorXd xi = VectorXd::Zero(T);
  VectorXd first = VectorXd::Zero(T);
  VectorXd second = VectorXd::Zero(T);
  std::vector<double> scratch(std::size_t(3 * T));
  const auto above = [&](const std::vector<double>& losses) -> VectorXd {
    return (Eigen::Map<const VectorXd>(losses.data(), T).array() + 1e-8).matrix();
  };
  for (int k = 0; k < 30; ++k) {
    const std::vector<double> losses = random_losses(T, random);
    VectorXd w = xi.array().exp() / above(losses).array();
    w /= w.sum();
    check_near(run(with_losses(losses, k)), {w(0), w(1), w(2)}, 1e-9);
    const Step after = with_losses(random_losses(T, random), k + 1);
    fuller::FAMO().after_step(after.view<>(), run.state.data(), scratch.data());
    const VectorXd z = xi.array().exp() / xi.array().exp().sum();
    const Eigen::MatrixXd jacobian = Eigen::MatrixXd(z.asDiagonal()) - z * z.transpose();
    const VectorXd gradient = jacobian * (above(losses).array().log() - above(after.losses).array().log()).matrix() + gamma * xi;
    first = 0.9 * first + 0.1 * gradient;
    second = 0.999 * second.array() + 0.001 * gradient.array().square();
    xi.array() -=
        rate * (first.array() / (1 - std::pow(0.9, k + 1))) / ((second.array() / (1 - std::pow(0.999, k + 1))).sqrt() + 1e-8);
    check_near({run.state[0], run.state[1], run.state[2]}, {xi(0), xi(1), xi(2)}, 1e-9);
  }
  // A task that was not looked at again learns from the next step, as without.
  Runner<fuller::FAMO> partly(fuller::FAMO(), T);
  partly(with_losses({1, 1, 1}, 0));
  Step one = with_losses({0.5, 0.7, 9}, 1);
  one.present[2] = 0;
  fuller::FAMO().after_step(one.view<>(), partly.state.data(), scratch.data());
  CHECK(partly.state[2] == 0);
  CHECK(partly.state[5 * T] == 0);
  CHECK(partly.state[5 * T + 2] == 1);
}

TEST_CASE("FAMO learns nothing from a task that was not in the step before") {
  Runner<fuller::FAMO> run(fuller::FAMO(), 2);
  run(with_losses({1, 1}, 0));
  Step alone = with_losses({5, 1}, 1);
  alone.present[1] = 0;
  run(alone);
  run(with_losses({4, 9}, 2));
  CHECK(run.state[1] == 0);
  run(with_losses({4, 1}, 3));
  CHECK(run.state[1] != 0);
}

TEST_CASE("STCH and GLS weigh by the derivative of what they are") {
  std::mt19937_64 random(3);
  for (const int T : {1, 2, 5, 30}) {
    const std::vector<double> losses = random_losses(T, random);
    fuller::STCHOptions options;
    options.mu = 0.7;
    options.preference = fuller::TaskVector(random_losses(T, random));
    const auto smooth_maximum = [&](const std::vector<double>& L) {
      double sum = 0;
      for (std::size_t i = 0; i < L.size(); ++i) {
        sum += std::exp(options.preference[int(i)] * L[i] / options.mu);
      }
      return options.mu * std::log(sum);
    };
    check_near(Runner<fuller::STCH>(fuller::STCH(options), T)(with_losses(losses)), derivative(smooth_maximum, losses), 1e-5,
               1e-8);
    const auto geometric_mean = [](const std::vector<double>& L) {
      double sum = 0;
      for (const double loss : L) {
        sum += std::log(loss);
      }
      return std::exp(sum / double(L.size()));
    };
    check_near(Runner<fuller::GLS>(fuller::GLS(), T)(with_losses(losses)), derivative(geometric_mean, losses), 1e-5, 1e-8);
  }
  // Neither overflows: e^1000, and a product of 1e200 and 1e200.
  fuller::STCHOptions ideal;
  ideal.ideal = {999, 0};
  check_near(Runner<fuller::STCH>(fuller::STCH(), 2)(with_losses({1000, 999})), {1 / (1 + std::exp(-1)), 1 / (1 + std::exp(1))},
             1e-12);
  check_near(Runner<fuller::STCH>(fuller::STCH(ideal), 2)(with_losses({1000, 1})), {.5, .5}, 1e-12);
  check_near(Runner<fuller::GLS>(fuller::GLS(), 2)(with_losses({1e200, 4e200})), {1, .25}, 1e-12);
}

namespace {

/// The means of the grouping of `w` into `groups` with the smallest squared distances, of all groupings there are.
std::vector<double> best_means(const std::vector<double>& w, int groups) {
  const std::size_t n = w.size();
  std::vector<int> of(n, 0);
  double best = std::numeric_limits<double>::infinity();
  std::vector<double> means(n);
  for (;;) {
    std::vector<double> sum(static_cast<std::size_t>(groups), 0);
    std::vector<int> count(static_cast<std::size_t>(groups), 0);
    for (std::size_t i = 0; i < n; ++i) {
      sum[std::size_t(of[i])] += w[i];
      ++count[std::size_t(of[i])];
    }
    double distance = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const double from_mean = w[i] - sum[std::size_t(of[i])] / count[std::size_t(of[i])];
      distance += from_mean * from_mean;
    }
    if (distance < best) {
      best = distance;
      for (std::size_t i = 0; i < n; ++i) {
        means[i] = sum[std::size_t(of[i])] / count[std::size_t(of[i])];
      }
    }
    std::size_t place = 0;
    while (place < n && ++of[place] == groups) {
      of[place++] = 0;
    }
    if (place == n) {
      return means;
    }
  }
}

}  // namespace

TEST_CASE("GO4Align groups its weights as well as any grouping does") {
  std::mt19937_64 random(4);
  for (int draw = 0; draw < 24; ++draw) {
    const int T = 3 + draw % 5;
    fuller::GO4AlignOptions options;
    options.groups = 2 + draw % 3;
    options.eta = 0.3;
    Runner<fuller::GO4Align> run(fuller::GO4Align(options), T);
    std::vector<double> q(static_cast<std::size_t>(T), 1.0 / T);
    for (int k = 0; k < 3; ++k) {
      const std::vector<double> losses = random_losses(T, random);
      std::vector<double> w(losses.size());
      double sum_q = 0;
      double sum_L = 0;
      for (std::size_t i = 0; i < losses.size(); ++i) {
        q[i] *= std::exp(-options.eta * losses[i]);
        sum_q += q[i];
        sum_L += losses[i];
      }
      for (std::size_t i = 0; i < losses.size(); ++i) {
        q[i] /= sum_q;
        w[i] = q[i] * sum_L / losses[i];
      }
      INFO("T = " << T << ", groups " << options.groups);
      check_near(run(with_losses(losses, k)), best_means(w, options.groups), 1e-11);
    }
  }
}

TEST_CASE("GO4Align: groups that are as good leave the lower one smaller, and as many groups as tasks change nothing") {
  fuller::GO4AlignOptions options;
  options.eta = 0;
  // w ~ 1 / L: 1, 2, 3 up to a factor; {1} {2 3} and {1 2} {3} are as good.
  const std::vector<double> w = Runner<fuller::GO4Align>(fuller::GO4Align(options), 3)(with_losses({6, 3, 2}));
  CHECK(w[1] == w[2]);
  CHECK(w[0] < w[1]);
  options.groups = 3;
  const std::vector<double> all = Runner<fuller::GO4Align>(fuller::GO4Align(options), 3)(with_losses({6, 3, 2}));
  check_near(all, {11.0 / 18, 11.0 / 9, 11.0 / 6}, 1e-14);
}

TEST_CASE("LDC-MTL descends its objective, in the losses and in its parameters") {
  std::mt19937_64 random(5);
  using Normalise = fuller::LDCOptions::Normalise;
  for (const auto kind : {Normalise::none, Normalise::initial, Normalise::log_initial}) {
    fuller::LDCOptions options;
    options.normalise = kind;
    options.lambda = 0.1;
    options.learning_rate = 0.3;
    const int T = 4;
    Runner<fuller::LDC> run(fuller::LDC(options), T);
    const std::vector<double> start = random_losses(T, random);
    run(with_losses(start, 0));
    for (int k = 1; k < 6; ++k) {
      const std::vector<double> losses = random_losses(T, random);
      const std::vector<double> s(run.state.begin(), run.state.begin() + T);
      const auto objective = [&](const std::vector<double>& L, const std::vector<double>& at) {
        double least = std::numeric_limits<double>::infinity();
        for (const double loss : start) {
          least = std::min(least, loss);
        }
        double sum = 0;
        double shares = 0;
        double apart = 0;
        double previous = 0;
        for (std::size_t i = 0; i < L.size(); ++i) {
          const double sigma = 1 / (1 + std::exp(-at[i]));
          const double l = kind == Normalise::none      ? L[i]
                           : kind == Normalise::initial ? L[i] / (start[i] / least)
                                                        : std::log((L[i] + 1e-8) / (start[i] + 1e-8));
          sum += sigma * l;
          shares += sigma;
          apart += i > 0 ? std::abs(previous - sigma * l) : 0;
          previous = sigma * l;
        }
        return sum / shares + options.lambda * apart;
      };
      const std::vector<double> slopes = derivative([&](const std::vector<double>& L) { return objective(L, s); }, losses);
      const std::vector<double> moments(run.state.begin() + T, run.state.begin() + 2 * T);
      const std::vector<double> w = run(with_losses(losses, k));
      for (std::size_t i = 0; i < std::size_t(T); ++i) {
        CHECK(w[i] == Approx(slopes[i]).epsilon(1e-4).margin(1e-7));
        std::vector<double> above = s;
        std::vector<double> below = s;
        above[i] += 1e-6;
        below[i] -= 1e-6;
        const double in_s = (objective(losses, above) - objective(losses, below)) / 2e-6;
        // Adam's first moment took a tenth of it.
        CHECK(run.state[std::size_t(T) + i] == Approx(0.9 * moments[i] + 0.1 * in_s).epsilon(1e-4).margin(1e-8));
      }
    }
  }
}

TEST_CASE("LDC-MTL sees no difference between scaled losses that are equal but for rounding") {
  fuller::LDCOptions options;
  options.normalise = fuller::LDCOptions::Normalise::none;
  for (const double tilt : {-2e-16, 0.0, 2e-16}) {
    CHECK(Runner<fuller::LDC>(fuller::LDC(options), 2)(with_losses({1 + tilt, 1})) == std::vector<double>{0.5, 0.5});
  }
}

TEST_CASE("the Balancer divides by the moving mean of the norm, and shares as asked") {
  fuller::BalancerOptions options;
  options.decay = 0.5;
  options.shares = {1, 3};
  options.total_norm = 8;
  Runner<fuller::Balancer> run(fuller::Balancer(options), 2);
  const auto step_of_norms = [](double a, double b) {
    return step_of((fuller::testing::Jacobian(2, 2) << a, 0, 0, b).finished());
  };
  check_near(run(step_of_norms(2, 5)), {2 / 2.0, 6 / 5.0}, 1e-15);
  check_near(run(step_of_norms(4, 5)), {2 / ((0.5 * 2 + 4) / 1.5), 6 / 5.0}, 1e-15);
  Step scaled = step_of_norms(8, 10);
  scaled.loss_scale = 2;
  check_near(run(scaled), {2 / ((0.25 * 2 + 0.5 * 4 + 4) / 1.75), 6 / 5.0}, 1e-15);
}
