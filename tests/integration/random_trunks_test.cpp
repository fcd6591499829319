// SPDX-License-Identifier: Apache-2.0
// All shared parameters after a fork, trained by the weighted sum of the task gradients or by one pass more, and compared
// layer by layer, on random trunks. See sums_test.cpp.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;

namespace {

/// A trunk of random operations on rows of `width`, some of whose weights are used twice, with one to three outputs.
struct RandomTrunk {
  std::uint64_t seed;
  std::int64_t width;
  Tensors weights;
  Tensor x;

  RandomTrunk(std::uint64_t number, std::int64_t columns) : seed(number), width(columns) {
    torch::manual_seed(number);
    const double scale = 1.4 / std::sqrt(static_cast<double>(width));
    for (int k = 0; k < 4; ++k) {
      weights.push_back((scale * torch::randn({width, width}, torch::kDouble)).requires_grad_());
    }
    x = torch::randn({5, width}, torch::kDouble);
  }

  Tensors features() const {
    std::mt19937_64 random(seed);
    const auto draw = [&](std::size_t below) { return static_cast<std::size_t>(random() % below); };
    Tensors values{x.mm(weights[0])};
    for (int k = 0; k < 9; ++k) {
      const Tensor a = values[draw(values.size())];
      const Tensor b = values[draw(values.size())];
      switch (draw(9)) {
        case 0:
        case 1:
          values.push_back(torch::linear(a, weights[draw(4)]));
          break;
        case 2:
          values.push_back(a + b.tanh());
          break;
        case 3:
          values.push_back(a * b.sigmoid());
          break;
        case 4:
          values.push_back(torch::cat({a, b}, 1).slice(1, 1, 1 + width));
          break;
        case 5:
          values.push_back(torch::layer_norm(a, {width}));
          break;
        case 6:
          values.push_back(a.softmax(1).mm(weights[draw(4)].t()));
          break;
        case 7:
          values.push_back(torch::where(a > 0, a, b));
          break;
        default:
          values.push_back(a.index_select(0, torch::tensor({4, 2, 2, 0, 1})).relu() - b);
      }
    }
    const std::size_t levels = 1 + draw(3);
    return {values.end() - static_cast<std::ptrdiff_t>(levels), values.end()};
  }
};

}  // namespace

TEST_CASE("Sums: random trunks, tasks, absences and accumulation, weights chosen at the fork and at the losses") {
  int summed = 0;
  int rows = 0;
  int fewer = 0;
  int heads = 0;
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    INFO("seed " << seed);
    const RandomTrunk trunk(seed, seed % 3 == 0 ? 40 : 4);  // so wide that matrices which are read once are compared by rows
    Tensors parameters = trunk.weights;
    std::mt19937_64 random(seed + 1000);
    const bool at_losses = seed % 2 == 0;  // without a fork: what one task alone reaches is its head
    const std::size_t tasks = 1 + random() % 4;
    std::vector<std::uint8_t> present(tasks, 1);
    if (!at_losses && tasks > 2 && random() % 2 == 0) {
      present[random() % tasks] = 0;
    }
    const bool hooked = random() % 4 == 0;
    for (std::size_t i = 0; i < tasks && at_losses; ++i) {
      parameters.push_back(torch::randn({trunk.width, 2}, torch::kDouble).requires_grad_());
    }
    const auto loss_of = [&](std::size_t task, const Tensors& z) {
      Tensor sum = at_losses ? z[0].mm(parameters[4 + task]).cos().mean() : torch::zeros({}, torch::kDouble);
      std::mt19937_64 which(seed * 31 + task);
      const std::size_t always = which() % z.size();
      for (std::size_t k = 0; k < z.size(); ++k) {
        if (k == always || which() % 2 == 0) {
          const auto phase = static_cast<double>(which() % 7);
          sum = sum + (z[k] * (1.0 + static_cast<double>(task)) + phase).sin().pow(2).mean() - 0.1 * phase * z[k].mean();
        }
      }
      return sum;
    };
    const Tensors plain = trunk.features();
    std::vector<Tensors> gradients;
    std::vector<int> readers(parameters.size(), 0);
    for (std::size_t i = 0; i < tasks; ++i) {
      gradients.push_back(torch::autograd::grad({loss_of(i, plain)}, parameters, {}, true, false, /*allow_unused=*/true));
      for (std::size_t k = 0; k < parameters.size(); ++k) {
        readers[k] += gradients[i][k].defined() ? 1 : 0;
        gradients[i][k] = gradients[i][k].defined() ? gradients[i][k] : torch::zeros_like(parameters[k]);
      }
    }
    const auto is_shared = [&](std::size_t k) { return !at_losses || tasks == 1 || readers[k] > 1; };
    std::vector<Tensors> compared(tasks);
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      heads += is_shared(k) ? 0 : readers[k];
      for (std::size_t i = 0; i < tasks && is_shared(k); ++i) {
        compared[i].push_back(present[i] != 0 ? gradients[i][k] : torch::zeros_like(parameters[k]));
      }
    }
    const Eigen::MatrixXd gram = gram_of(compared);
    RuleAlone<fuller::PCGrad> alone(fuller::PCGrad(), static_cast<int>(tasks));
    Calibration calibration(fuller::PCGrad(), task_names(static_cast<int>(tasks)));
    Calibration by_halves(fuller::PCGrad(), task_names(static_cast<int>(tasks)));
    by_halves.accumulate(2);
    CalibrationOptions sparing;
    sparing.surface = fuller::Surface::all_shared;
    sparing.memory = fuller::TaskMemory::layer_by_layer;
    Calibration by_layers(fuller::PCGrad(), task_names(static_cast<int>(tasks)), sparing);
    clear(parameters);
    Tensors expected = copies_of(parameters);
    for (Tensor& sum : expected) {
      sum.zero_();
    }
    for (int step = 0; step < 2; ++step) {
      const Weights weights = alone(gram, std::vector<double>(tasks, 0.0), present);
      for (std::size_t i = 0; i < tasks; ++i) {
        for (std::size_t k = 0; k < parameters.size() && present[i] != 0; ++k) {
          expected[k] = expected[k] + (is_shared(k) ? weights.shared[i] : 1.0) * gradients[i][k];
        }
      }
      const auto sum_of = [&](Calibration& by, const Tensors& z) {
        const auto forked = at_losses ? std::vector<Tensors>(tasks, z) : by.fork_levels(z);
        Tensors of_tasks;
        for (std::size_t i = 0; i < tasks; ++i) {
          of_tasks.push_back(present[i] != 0 ? loss_of(i, forked[i]) : Tensor());
        }
        return by.sum(of_tasks);
      };
      const Tensors before = copies_of(gradients_of(parameters));
      for (int half = 0; half < 2; ++half) {
        (sum_of(by_halves, trunk.features()) / 2).backward();
      }
      CHECK(difference(gradients_of(parameters), expected) < 1e-10);
      const auto features_again = [&] {
        for (std::size_t k = 0; k < parameters.size(); ++k) {
          parameters[k].mutable_grad() = before[k].clone();
        }
        Tensors z = trunk.features();
        if (hooked) {
          z.front().register_hook([](const Tensor& gradient) { return gradient; });
        }
        return z;
      };
      sum_of(by_layers, features_again()).backward();
      CHECK(difference(gradients_of(parameters), expected) < 1e-10);
      CHECK_FALSE(by_layers.diagnostics().summed);
      fewer +=
          trunk.width > 4 && by_layers.diagnostics().bytes_kept < by_layers.diagnostics().passes * trunk.width * trunk.width * 8;
      sum_of(calibration, features_again()).backward();
      CHECK(difference(gradients_of(parameters), expected) < 1e-10);
      const fuller::Diagnostics shown = calibration.diagnostics();
      const bool by_rows = contains(shown.one_more, "linear layers of few rows");
      summed += shown.summed ? 1 : 0;
      rows += by_rows ? 1 : 0;
      CHECK((at_losses || by_rows || shown.summed == !hooked));
      CHECK((hooked || by_rows || shown.summed));
    }
  }
  CHECK(summed > 100);  // or nothing would have been tested
  CHECK(heads > 50);
  CHECK(rows > 5);
  CHECK(fewer > 10);
}
