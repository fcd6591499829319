// SPDX-License-Identifier: Apache-2.0
// Gates in random models whose tasks are compared over all that they share: where the sums train, a step leaves what it leaves
// with one pass more, gates and their state included. See gated_sums_test.cpp.
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"
#include "support/multi_backward.hpp"
#include "support/pages.hpp"

using namespace fuller::testing;
using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;

namespace {

constexpr std::int64_t width = 4;

/// What a parameter of one branch is used for besides.
enum class Reuse { none, other_branch, trunk, around };

/// Branches of random operations, fused by one weight or by one each; a trunk of random operations, and tasks that read it, some
/// of them a feature too.
struct RandomModel {
  std::uint64_t seed;
  std::size_t branches;
  std::size_t tasks;
  bool separate;
  Reuse reuse;
  Tensor x;
  std::vector<Tensors> of_branches;
  Tensors fusion, trunk, heads;

  explicit RandomModel(std::uint64_t number) : seed(number) {
    std::mt19937_64 random(number);
    branches = 2 + random() % 2;
    tasks = 1 + random() % 4;
    separate = random() % 2 == 0;
    const std::uint64_t use = random() % 8;  // mostly none
    reuse = use < 3 ? static_cast<Reuse>(1 + use) : Reuse::none;
    torch::manual_seed(number);
    x = torch::randn({12, width}, torch::kDouble);
    for (std::size_t m = 0; m < branches; ++m) {
      of_branches.push_back({parameter({width, width}), parameter({width, width})});
    }
    for (std::size_t m = 0; m < (separate ? branches : 1); ++m) {
      fusion.push_back(parameter({width, separate ? width : width * static_cast<std::int64_t>(branches)}));
    }
    trunk = {parameter({width, width}), parameter({width, width})};
    for (std::size_t i = 0; i < tasks; ++i) {
      heads.push_back(parameter({2, width}));
    }
  }

  static Tensor parameter(at::IntArrayRef shape) { return (0.7 * torch::randn(shape, torch::kDouble)).requires_grad_(); }

  Tensors parameters() const {
    Tensors all = fusion;
    for (const Tensors& list : of_branches) {
      append(all, list);
    }
    append(all, trunk);
    append(all, heads);
    return all;
  }

  /// A few operations on h, of which each weight is read once at least.
  static Tensor layers(Tensor h, const Tensors& weights, std::mt19937_64& random) {
    for (std::size_t k = 0; k < 5; ++k) {
      const Tensor& weight = weights[k < weights.size() ? k : random() % weights.size()];
      switch (k < weights.size() ? 0 : random() % 6) {
        case 0:
          h = h.mm(weight.t());
          break;
        case 1:
          h = h + h.sin();
          break;
        case 2:
          h = h * h.sigmoid();
          break;
        case 3:
          h = torch::cat({h, h.tanh()}, 1).slice(1, 1, 1 + width);
          break;
        case 4:
          h = torch::layer_norm(h, {width}) + 0.1 * h;
          break;
        default:
          h = torch::where(h > 0, h, 0.2 * h);
      }
    }
    return h;
  }

  Tensors features(const std::vector<std::uint8_t>& present) const {
    std::mt19937_64 random(seed + 1);
    Tensors all;
    for (std::size_t m = 0; m < branches; ++m) {
      Tensors weights = of_branches[m];
      if (reuse == Reuse::other_branch && m == 1) {
        weights.push_back(of_branches[0][1]);
      }
      const Tensor h = layers(x * (1.0 + static_cast<double>(m)), weights, random) * (m == 0 ? 1.0 : 3.0);
      all.push_back(present[m] != 0 ? h : Tensor());
    }
    return all;
  }

  Tensor shared(const Tensors& before, const Tensors& gated) const {
    Tensor fused;
    if (separate) {
      for (std::size_t m = 0; m < branches; ++m) {
        if (gated[m].defined()) {
          const Tensor part = gated[m].mm(fusion[m].t());
          fused = fused.defined() ? fused + part : part;
        }
      }
    } else {
      Tensors all = gated;
      for (Tensor& feature : all) {
        feature = feature.defined() ? feature : torch::zeros_like(x);
      }
      fused = torch::cat(all, 1).mm(fusion[0].t());
    }
    std::mt19937_64 random(seed + 2);
    Tensors weights = trunk;
    if (reuse == Reuse::trunk) {
      weights.push_back(of_branches[0][0]);
    }
    const Tensor z = layers(fused.tanh(), weights, random);
    return reuse == Reuse::around && before[0].defined() ? z + before[0].tanh() : z;
  }

  Tensor loss(std::size_t task, const Tensor& z) const {
    const auto number = static_cast<double>(task);
    return (z.mm(heads[task].t()) * (1 + number) + number).sin().pow(2).mean() + 0.3 * (number - 1) * z.cos().mean();
  }
};

template <class Law>
Calibration made(const RandomModel& model, const CalibrationOptions& options, const Law& law, fuller::GateTarget target,
                 int way) {
  Calibration calibration(fuller::PCGrad(), task_names(static_cast<int>(model.tasks)), options);
  std::vector<std::string> names;
  for (std::size_t m = 0; m < model.branches; ++m) {
    names.push_back("m" + std::to_string(m));
  }
  calibration.modalities(law, names, target);
  if (way != 0) {
    calibration.use(steps_by(way == 1 ? Way::kernels : Way::host_rule));
  }
  return calibration;
}

}  // namespace

TEST_CASE("Gated sums: random models, tasks, absences, laws and engines, with one pass more or without") {
  int summed = 0;
  int apart = 0;
  int gated = 0;
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    const RandomModel model(seed);
    std::mt19937_64 random(seed + 1000);
    const bool forks = random() % 2 == 0;
    CalibrationOptions options;
    options.surface = fuller::Surface::all_shared;
    options.apply_to = random() % 2 == 0 ? ApplyTo::all : ApplyTo::shared_only;
    options.every = random() % 4 == 0 ? 2 : 1;
    options.missing = random() % 2 == 0 ? fuller::Missing::hold : fuller::Missing::renormalise;
    const fuller::GateTarget target = random() % 4 == 0 ? fuller::GateTarget::update : fuller::GateTarget::gradient;
    const int way = static_cast<int>(random() % 3);
    const bool by_scores = random() % 3 == 0;
    const auto make = [&] {
      fuller::MLBOptions of_scores;
      of_scores.evidence = fuller::GateEvidence::scores;
      return by_scores ? made(model, options, fuller::MLB(of_scores), target, way)
                       : made(model, options, fuller::ModalityGate(), target, way);
    };
    INFO("seed " << seed << ", fork " << forks << ", way " << way << ", separate " << model.separate << ", reuse "
                 << static_cast<int>(model.reuse) << ", every " << options.every << ", scores " << by_scores);
    Calibration with_sums = make();
    Calibration with_a_pass = make();
    const Tensors parameters = model.parameters();
    for (int step = 0; step < 4; ++step) {
      std::vector<std::uint8_t> present(model.branches, 1);
      std::vector<std::uint8_t> tasks(model.tasks, 1);
      if (step > 0 && random() % 3 == 0) {
        present[random() % present.size()] = 0;
      }
      if (step > 0 && random() % 3 == 0 && tasks.size() > 1) {
        tasks[random() % tasks.size()] = 0;
      }
      const bool outside = random() % 3 == 0 && forks;   // else it may be of a head
      const std::size_t reads = random() % model.tasks;  // a feature besides, where weights are chosen at the losses
      std::vector<double> scores;
      for (std::size_t m = 0; m < model.branches; ++m) {
        scores.push_back(0.1 + 0.1 * static_cast<double>(random() % 9));
      }
      const auto run = [&](Calibration& calibration, bool hooked) {
        clear(parameters);
        const Tensors before = model.features(present);
        const Tensors through =
            model.separate ? calibration.gate(before, model.fusion) : calibration.gate(before, model.fusion[0]);
        Tensor z = model.shared(before, through);
        if (hooked) {
          z.register_hook([](const Tensor& gradient) { return gradient; });
        }
        const auto of_tasks = forks ? calibration.fork(z) : Tensors(model.tasks, z);
        Tensors losses(model.tasks);
        for (std::size_t i = 0; i < model.tasks; ++i) {
          losses[i] = tasks[i] != 0 ? model.loss(i, of_tasks[i]) : Tensor();
        }
        const std::size_t last = model.branches - 1;
        if (!forks && losses[reads].defined() && through[last].defined()) {
          losses[reads] = losses[reads] + through[last].sin().mean();
        }
        Tensor loss = calibration.sum(losses);
        if (outside && through[last].defined()) {
          loss = loss + through[last].pow(2).mean() + 0.01 * model.of_branches[last][0].pow(2).sum();
        }
        if (by_scores) {
          calibration.scores(scores);
        }
        loss.backward();
        return copies_of(gradients_of(parameters));
      };
      const Tensors expected = run(with_a_pass, /*hooked=*/true);
      const Diagnostics right = with_a_pass.diagnostics();
      const Tensors got = run(with_sums, /*hooked=*/false);
      const Diagnostics shown = with_sums.diagnostics();
      INFO("step " << step << ", " << shown.one_more);
      CHECK(difference(got, expected) < 1e-9);
      CHECK(difference_of(shown.weights, right.weights) < 1e-11);
      CHECK(difference_of(shown.head_weights, right.head_weights) < 1e-11);
      CHECK(difference_of(shown.gates, right.gates) < 1e-9);
      CHECK(shown.passes <= right.passes);  // heads beyond the gates that are to be plain take passes there
      CHECK_FALSE(right.summed);
      const bool reused = (model.reuse == Reuse::other_branch && present[0] != 0 && present[1] != 0) ||
                          ((model.reuse == Reuse::trunk || model.reuse == Reuse::around) && present[0] != 0);
      if (shown.held_for == 0) {
        CHECK(shown.summed == !reused);
        CHECK(contains(shown.one_more, "reached through a gate and in another way") == reused);
      }
      summed += shown.summed ? 1 : 0;
      apart += reused ? 1 : 0;
      for (const double gate : shown.gates) {
        gated += shown.summed && gate < 0.99 ? 1 : 0;
      }
    }
    Pages of_sums;
    Pages of_a_pass;
    with_sums.save(of_sums);
    with_a_pass.save(of_a_pass);
    for (const auto& [name, page] : of_sums.pages) {
      INFO(name);
      const Tensor& other = of_a_pass.pages.at(name);
      REQUIRE(page.sizes() == other.sizes());
      CHECK(at::allclose(page.to(torch::kDouble), other.to(torch::kDouble), 1e-9, 1e-12, /*equal_nan=*/true));
    }
  }
  CHECK(summed > 150);  // or nothing would have been tested
  CHECK(apart > 30);
  CHECK(gated > 50);
}
