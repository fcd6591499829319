// SPDX-License-Identifier: Apache-2.0
// A long run of a tiny network: tasks come and go, losses are NaN, the rule is changed, runs are saved and resumed. Every
// gradient is compared with one formed by hand, in loops and without autograd, under weights by the papers' formulas for two
// tasks; and memory stays as it was.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/catch.hpp"

namespace {

using torch::Tensor;

constexpr int samples = 3, inputs = 2, features = 4, tasks = 2;
using Pair = std::array<double, tasks>;

/// z = tanh(W x + b), y_i = h_i z, L_i = loud_i mean (y_i - t_i)^2, in doubles.
struct Numbers {
  std::array<std::array<double, inputs>, features> W{};
  std::array<double, features> b{};
  std::array<std::array<double, features>, tasks> h{};
};

struct Batch {
  std::array<std::array<double, inputs>, samples> x{};
  std::array<std::array<double, samples>, tasks> target{};
  Pair loud{1, 30};
};

double loss_by_hand(const Numbers& net, const Batch& batch, std::size_t task, Numbers& gradient) {
  double loss = 0;
  gradient = Numbers();
  for (std::size_t s = 0; s < samples; ++s) {
    std::array<double, features> z{};
    double y = 0;
    for (std::size_t f = 0; f < features; ++f) {
      double a = net.b[f];
      for (std::size_t i = 0; i < inputs; ++i) {
        a += net.W[f][i] * batch.x[s][i];
      }
      z[f] = std::tanh(a);
      y += net.h[task][f] * z[f];
    }
    const double off = y - batch.target[task][s];
    loss += batch.loud[task] * off * off / samples;
    const double dy = batch.loud[task] * 2 * off / samples;
    for (std::size_t f = 0; f < features; ++f) {
      gradient.h[task][f] += dy * z[f];
      const double da = dy * net.h[task][f] * (1 - z[f] * z[f]);
      gradient.b[f] += da;
      for (std::size_t i = 0; i < inputs; ++i) {
        gradient.W[f][i] += da * batch.x[s][i];
      }
    }
  }
  return loss;
}

double product(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (std::size_t f = 0; f < features; ++f) {
    for (std::size_t i = 0; i < inputs; ++i) {
      sum += a.W[f][i] * b.W[f][i];
    }
  }
  return sum;
}

/// The weights of two tasks as the papers have them, and what a task weighs that is alone.
class ByHand {
 public:
  explicit ByHand(const std::string& rule) : rule_(rule) {}

  Pair weights(const std::array<bool, tasks>& used, const Pair& losses, const std::array<Numbers, tasks>& gradients) {
    for (std::size_t i = 0; i < tasks; ++i) {
      if (used[i]) {
        sum_[i] += losses[i];
        count_[i] += 1;
      }
    }
    Pair of_rule{1, 1};
    const bool both = used[0] && used[1];
    const double dot = both ? product(gradients[0], gradients[1]) : 0;
    if (both && rule_ == "IMTL_G") {
      const double n0 = std::sqrt(product(gradients[0], gradients[0])), n1 = std::sqrt(product(gradients[1], gradients[1]));
      of_rule = {n1 / (n0 + n1), n0 / (n0 + n1)};
    } else if (both && rule_ == "PCGrad" && dot < 0) {
      of_rule = {1 - dot / product(gradients[0], gradients[0]), 1 - dot / product(gradients[1], gradients[1])};
    } else if (both && rule_ == "DWA") {
      const double e0 = std::exp(rate(0) / 2), e1 = std::exp(rate(1) / 2);
      of_rule = {2 * e0 / (e0 + e1), 2 * e1 / (e0 + e1)};
    }
    Pair out{0, 0};
    for (std::size_t i = 0; i < tasks; ++i) {
      if (used[i]) {
        out[i] = !both && last_[i] > 0 ? last_[i] : of_rule[i];
        last_[i] = out[i];
      }
    }
    return out;
  }

  void end_epoch() {
    for (std::size_t i = 0; i < tasks; ++i) {
      if (count_[i] > 0) {
        before_[i] = latest_[i];
        latest_[i] = sum_[i] / count_[i];
        known_[i] = std::min(known_[i] + 1, 2);
      } else if (known_[i] > 0) {
        before_[i] = latest_[i];
        known_[i] = std::min(known_[i] + 1, 2);
      }
      sum_[i] = count_[i] = 0;
    }
  }

  /// Whether heads are weighted as the shared parameters are.
  bool weighs_heads() const { return rule_ != "PCGrad"; }

 private:
  double rate(std::size_t i) const { return known_[i] == 2 ? latest_[i] / before_[i] : 1; }

  std::string rule_;
  Pair last_{}, sum_{}, count_{}, latest_{}, before_{};
  std::array<int, tasks> known_{};
};

fuller::Calibration made(const std::string& rule) {
  fuller::CalibrationOptions options;
  options.surface = fuller::Surface::last_shared;
  options.non_finite = fuller::NonFinite::skip;
  const std::vector<std::string> names{"near", "far"};
  if (rule == "IMTL_G") {
    return {fuller::IMTL_G(), names, options};
  }
  if (rule == "PCGrad") {
    return {fuller::PCGrad(), names, options};
  }
  if (rule == "DWA") {
    return {fuller::DWA(), names, options};
  }
  return {fuller::Uniform(), names, options};
}

/// Megabytes that the process has in memory.
double resident() {
  std::ifstream file("/proc/self/statm");
  double pages = 0, in_memory = 0;
  file >> pages >> in_memory;
  return in_memory * 4096 / 1e6;
}

template <std::size_t N, std::size_t M>
double difference(const Tensor& gradient, const std::array<std::array<double, M>, N>& expected) {
  double largest = 0;
  for (std::size_t i = 0; i < N; ++i) {
    for (std::size_t j = 0; j < M; ++j) {
      const double found = gradient.defined() ? gradient.data_ptr<double>()[i * M + j] : 0;
      const double off = std::fabs(found - expected[i][j]) / (1e-3 + std::fabs(expected[i][j]));
      largest = std::isnan(off) ? std::numeric_limits<double>::infinity() : std::max(largest, off);
    }
  }
  return largest;
}

}  // namespace

TEST_CASE("A long run keeps its gradients and its memory") {
  const char* const asked = std::getenv("FULLER_SOAK_STEPS");
  const int steps = asked != nullptr ? std::atoi(asked) : 100000;
  at::set_num_threads(1);
  std::mt19937_64 draw(1);
  std::normal_distribution<double> normal;
  const auto one_in = [&](int n) { return draw() % static_cast<std::uint64_t>(n) == 0; };
  const std::vector<std::string> rules{"IMTL_G", "PCGrad", "DWA", "Uniform"};

  const auto options = torch::TensorOptions().dtype(torch::kDouble);
  Tensor W = torch::zeros({features, inputs}, options).requires_grad_(), b = torch::zeros({features}, options).requires_grad_();
  std::vector<Tensor> h;
  for (int task = 0; task < tasks; ++task) {
    h.push_back(torch::zeros({1, features}, options).requires_grad_());
  }
  std::string rule = rules.front();
  fuller::Calibration calibration = made(rule);
  ByHand by_hand(rule);
  double worst = 0, early = 0;
  long compared = 0, resumed = 0, changed = 0, nans = 0, alone = 0;
  for (int step = 0; step < steps; ++step) {
    if (one_in(100)) {
      rule = rules[draw() % rules.size()];
      calibration = made(rule);
      by_hand = ByHand(rule);
      ++changed;
    } else if (one_in(50)) {
      std::stringstream file;
      torch::save(calibration, file);
      calibration = made(rule);
      torch::load(calibration, file);
      ++resumed;
    }
    if (one_in(20)) {
      calibration.end_epoch();
      by_hand.end_epoch();
    }

    Numbers net;
    Batch batch;
    {
      const torch::NoGradGuard no_gradients;
      for (std::size_t f = 0; f < features; ++f) {
        for (std::size_t i = 0; i < inputs; ++i) {
          W.data_ptr<double>()[f * inputs + i] = net.W[f][i] = 0.5 * normal(draw);
        }
        b.data_ptr<double>()[f] = net.b[f] = 0.1 * normal(draw);
        for (std::size_t task = 0; task < tasks; ++task) {
          h[task].data_ptr<double>()[f] = net.h[task][f] = normal(draw);
        }
      }
    }
    const Tensor x = torch::zeros({samples, inputs}, options);
    for (std::size_t s = 0; s < samples; ++s) {
      for (std::size_t i = 0; i < inputs; ++i) {
        x.data_ptr<double>()[s * inputs + i] = batch.x[s][i] = normal(draw);
      }
    }
    const std::array<bool, tasks> present{!one_in(6), !one_in(6)};
    std::array<bool, tasks> used = present;
    for (Tensor* parameter : {&W, &b, &h[0], &h[1]}) {
      parameter->mutable_grad() = Tensor();
    }
    const auto z = calibration.fork<tasks>(torch::tanh(torch::nn::functional::linear(x, W, b)));
    std::vector<Tensor> losses(tasks);
    Pair values{};
    std::array<Numbers, tasks> gradients;
    for (std::size_t task = 0; task < tasks; ++task) {
      Tensor target = torch::zeros({samples, 1}, options);
      for (std::size_t s = 0; s < samples; ++s) {
        target.data_ptr<double>()[s] = batch.target[task][s] = normal(draw);
      }
      values[task] = loss_by_hand(net, batch, task, gradients[task]);
      if (present[task] && one_in(40)) {
        target.data_ptr<double>()[0] = std::numeric_limits<double>::quiet_NaN();
        used[task] = false;
        ++nans;
      }
      if (present[task]) {
        losses[task] = batch.loud[task] * torch::mse_loss(torch::nn::functional::linear(z[task], h[task]), target);
      }
    }
    const Tensor loss = calibration.sum(losses);
    if (loss.requires_grad()) {
      loss.backward();
    }
    alone += used[0] != used[1] ? 1 : 0;

    const Pair weights = present[0] || present[1] ? by_hand.weights(used, values, gradients) : Pair{};
    Numbers expected;
    for (std::size_t task = 0; task < tasks; ++task) {
      if (!used[task]) {
        continue;
      }
      for (std::size_t f = 0; f < features; ++f) {
        expected.b[f] += weights[task] * gradients[task].b[f];
        for (std::size_t i = 0; i < inputs; ++i) {
          expected.W[f][i] += weights[task] * gradients[task].W[f][i];
        }
        expected.h[task][f] = (by_hand.weighs_heads() ? weights[task] : 1) * gradients[task].h[task][f];
      }
    }
    double off =
        std::max(difference(W.grad(), expected.W), difference(b.grad(), std::array<std::array<double, features>, 1>{expected.b}));
    for (std::size_t task = 0; task < tasks; ++task) {
      off = std::max(off, difference(h[task].grad(), std::array<std::array<double, features>, 1>{expected.h[task]}));
    }
    if (!(off < 1e-7)) {
      INFO("step " << step << ", " << rule << ", present " << present[0] << present[1] << ", used " << used[0] << used[1]
                   << ", off by " << off);
      REQUIRE(off < 1e-7);
    }
    worst = std::max(worst, off);
    ++compared;
    if (step == steps / 5) {
      early = resident();
    }
  }
  const double late = resident();
  WARN(compared << " steps compared, worst " << worst << "; " << changed << " rules, " << resumed << " resumed, " << nans
                << " NaN, " << alone << " with one task alone; " << early << " MB after a fifth of them, " << late
                << " MB at the end");
  CHECK(changed > steps / 200);
  CHECK(resumed > steps / 100);
  CHECK(nans > steps / 50);
  CHECK(late - early < 4);
}
