// SPDX-License-Identifier: Apache-2.0
// A step made of several micro-batches, calibrated once: weights, gradients and state are those of one batch of all samples; on
// ranks, on a device, resumed, under policies. The oracles are the same calibration with the one big batch, and passes for each
// loss alone. What cannot be exact is in accumulation_refusals_test.cpp.
#include <cmath>
#include <memory>
#include <mutex>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#include "support/accumulated_steps.hpp"
#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/device_ways.hpp"
#include "support/meeting.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"
#include "support/rank_threads.hpp"
#include "support/steps.hpp"

namespace accumulation_test {

TEST_CASE(
    "Accumulated: the micro-batches of a step have the weights and gradients of the one big batch, by rules of every kind") {
  for_rules_of_every_kind(tasks, [](const auto& rule) { expect_one_big_batch(rule, {}); });
}

TEST_CASE("Accumulated: the same at every surface, forked or not, with weights on heads or without, held, under a stage") {
  for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
    for (const ApplyTo what : {ApplyTo::all, ApplyTo::shared_only}) {
      INFO("surface " << static_cast<int>(surface) << ", weights on " << static_cast<int>(what));
      CalibrationOptions options = at_surface(surface);
      options.apply_to = what;
      expect_one_big_batch(fuller::IMTL_G(), options);
      expect_one_big_batch(fuller::GradNorm(), options);
      if (surface == Surface::all_shared) {
        expect_one_big_batch(fuller::PCGrad(), options, /*forks=*/false);
      }
      options.every = 2;
      options.smoothing = 0.5;
      expect_one_big_batch(fuller::IMTL_G(), options);
    }
  }
  CalibrationOptions staged;
  staged.stage = fuller::LossStage::log;
  expect_one_big_batch(fuller::IMTL_G(), staged);
}

TEST_CASE("Accumulated: one micro-batch to a step is today's step, bit for bit") {
  Calibration told(fuller::PCGrad(), task_names(tasks));
  Calibration untold(fuller::PCGrad(), task_names(tasks));
  Network net = network();
  Network other = network();
  for (int number = 0; number < 3; ++number) {
    step(told, net, net.input(number), 1);
    calibrated_loss(untold, other, other.input(number)).backward();
    CHECK(equal(gradients_of(net.parameters()), gradients_of(other.parameters())));
    CHECK(told.diagnostics().weights == untold.diagnostics().weights);
    CHECK(told.diagnostics().passes == untold.diagnostics().passes);
    descend(net.parameters());
    descend(other.parameters());
  }
}

TEST_CASE("Accumulated: a loss scale is seen through") {
  Calibration plain(fuller::GradNorm(), task_names(tasks));
  Calibration scaled(fuller::GradNorm(), task_names(tasks));
  Network net = network();
  Network other = network();
  step(plain, net, net.input(0), 2);
  step(scaled, other, other.input(0), 2, true, 1024);
  CHECK(scaled.diagnostics().weights == plain.diagnostics().weights);
  CHECK(scaled.diagnostics().norms == plain.diagnostics().norms);
  Tensors descaled = gradients_of(other.parameters());
  for (Tensor& gradient : descaled) {
    gradient = gradient / 1024;
  }
  CHECK(difference(descaled, gradients_of(net.parameters())) < 1e-14);
}

/// One micro-batch: rows, which tasks it has, and what its sum is multiplied with.
struct Part {
  std::int64_t from, to;
  Presence present;
  double share;
};

/// The losses of all parts with their shares, one sum for each task; undefined for one that is in none.
Tensors sums_over(Network& net, const Tensor& x, const std::vector<Part>& parts) {
  Tensors sums(tasks);
  for (const Part& part : parts) {
    const Tensors z = net.features(x.slice(0, part.from, part.to));
    for (int i = 0; i < tasks; ++i) {
      const auto at = static_cast<std::size_t>(i);
      if (part.present[at] != 0) {
        const Tensor term = net.loss(i, z) * part.share;
        sums[at] = sums[at].defined() ? sums[at] + term : term;
      }
    }
  }
  return sums;
}

/// The same losses, each divided by the shares of the parts that have it.
std::vector<double> means_over(const Tensors& sums, const std::vector<Part>& parts) {
  std::vector<double> means(tasks, 0.0);
  for (std::size_t i = 0; i < means.size(); ++i) {
    double shares = 0;
    for (const Part& part : parts) {
      shares += part.present[i] != 0 ? part.share : 0;
    }
    means[i] = shares > 0 ? sums[i].item<double>() / shares : 0;
  }
  return means;
}

template <class Rule>
void expect_uneven(const Rule& rule, Surface surface) {
  const std::vector<std::vector<Part>> steps{
      {{0, 8, {1, 1, 0}, 0.4}, {8, 13, {1, 0, 1}, 0.25}, {13, 20, {0, 1, 1}, 0.35}},
      {{0, 6, {0, 1, 0}, 0.3}, {6, 16, {0, 0, 0}, 0.5}, {16, 20, {1, 0, 0}, 0.2}},
      {{0, 12, {1, 1, 1}, 0.6}, {12, 20, {0, 0, 0}, 0.4}},
  };
  Calibration calibration(rule, task_names(tasks), at_surface(surface));
  RuleAlone<Rule> alone(rule, tasks);
  Network net = network();
  for (const std::vector<Part>& parts : steps) {
    INFO(Rule::name << " at surface " << static_cast<int>(surface) << ", " << parts.size() << " parts");
    const Tensor x = net.input(static_cast<int>(parts.size()));
    const Tensors sums = sums_over(net, x, parts);
    std::vector<std::uint8_t> present;
    std::vector<Tensors> compared;
    const Tensors at = surface == Surface::all_shared ? net.shared_parameters() : net.last;
    for (const Tensor& sum : sums) {
      present.push_back(sum.defined() ? 1 : 0);
      compared.push_back(sum.defined() ? gradient_of(sum, at) : Tensors());
      for (std::size_t k = 0; k < at.size() && !sum.defined(); ++k) {
        compared.back().push_back(torch::zeros_like(at[k]));
      }
    }
    const Weights weights = alone(gram_of(compared), means_over(sums, parts), present);
    Tensors expected;
    for (const Tensor& parameter : net.parameters()) {
      expected.push_back(torch::zeros_like(parameter));
    }
    for (std::size_t i = 0; i < tasks; ++i) {
      const Tensors own = present[i] != 0 ? gradient_of(sums[i], net.parameters()) : Tensors();
      for (std::size_t k = 0; k < own.size(); ++k) {
        const bool is_head = k >= net.shared_parameters().size();
        const double of_head = Rule::default_apply_to == ApplyTo::all ? weights.heads[i] : 1;
        expected[k] += own[k] * (is_head ? of_head : weights.shared[i]);
      }
    }
    calibration.accumulate(static_cast<std::int64_t>(parts.size()));
    for (const Part& part : parts) {
      (calibrated_loss(calibration, net, x.slice(0, part.from, part.to), part.present) * part.share).backward();
    }
    CHECK(difference(gradients_of(net.parameters()), expected) < 1e-12);
    CHECK(difference_of(calibration.diagnostics().weights, weights.shared) < 1e-12);
    clear(net.parameters());
  }
}

TEST_CASE("Accumulated: a task that some micro-batches lack counts zeros there, and one that all lack is absent") {
  for (const Surface surface : {Surface::last_shared, Surface::all_shared}) {
    expect_uneven(fuller::IMTL_G(), surface);
    expect_uneven(fuller::PCGrad(), surface);
    expect_uneven(fuller::GLS(), surface);
  }
}

TEST_CASE("Accumulated: a task that one micro-batch alone has, and a modality, are trained by the last, which has neither") {
  // Without a fork: what is shared shows over the micro-batches, since no two losses meet in one of them.
  torch::manual_seed(2);
  const auto made = [](std::int64_t rows) { return torch::randn({rows, 3}, torch::kDouble).requires_grad_(); };
  const Tensors parameters{made(4), made(3), made(3), made(5)};  // trunk, two heads, and a branch that the first batch alone has
  const Tensor x = torch::randn({6, 4}, torch::kDouble);
  const auto loss = [&](std::size_t task, bool branch) {
    Tensor z = x.mm(parameters[0]);
    if (branch) {
      z = z + torch::ones({6, 5}, torch::kDouble).mm(parameters[3]);
    }
    return z.tanh().mm(parameters[1 + task]).pow(2).mean();
  };
  CalibrationOptions options = at_surface(Surface::all_shared);
  options.apply_to = ApplyTo::all;
  Calibration big(fuller::IMTL_G(), {"a", "b"}, options);
  big.sum({loss(0, true) + loss(0, false), loss(1, false)}).backward();
  const Tensors whole = gradients_of(parameters);
  clear(parameters);
  Calibration several(fuller::IMTL_G(), {"a", "b"}, options);
  several.accumulate(4);
  several.sum({loss(0, true), Tensor()}).backward();
  several.sum({Tensor(), loss(1, false)}).backward();
  several.sum({loss(0, false), Tensor()}).backward();
  CHECK_FALSE(parameters[0].grad().defined());
  CHECK(several.diagnostics().gathered == 3);
  CHECK(contains(several.describe(), "accumulating: 3 micro-batches of the next step so far"));
  several.sum({Tensor(), Tensor()}).backward();
  CHECK(difference(gradients_of(parameters), whole) < 1e-12);
  const Diagnostics seen = several.diagnostics();
  CHECK(difference_of(seen.weights, big.diagnostics().weights) < 1e-12);
  CHECK(seen.gathered == 0);
  CHECK(seen.micro_batches == 4);
  CHECK(seen.passes == 3);
  CHECK(seen.surface.size() == 1);
  CHECK(seen.bytes_kept == (2 * 4 * 3 + 3 * 3 + 3 * 3 + 5 * 3) * 8);
  CHECK(contains(several.describe(), ", in 4 micro-batches"));
}

TEST_CASE("Accumulated: on two ranks, each with micro-batches, or none") {
  // Rank 0 has rows 0 to 12 in two micro-batches, rank 1 rows 12 to 20 in one, and none in the second step.
  const std::vector<Part> of_0{{0, 6, all_present, 0.5}, {6, 12, {1, 0, 1}, 0.25}};
  const std::vector<Part> of_1{{12, 20, {1, 1, 0}, 0.75}};
  for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
    INFO("surface " << static_cast<int>(surface));
    const auto run = [&](int rank, Meeting* meeting) {
      CalibrationOptions options = at_surface(surface);
      if (meeting != nullptr) {
        options.ranks.rank = rank;
        options.ranks.count = 2;
        options.ranks.average = [meeting](Tensors& tensors) { meeting->average(tensors); };
      }
      static std::mutex one_at_a_time;  // the generator belongs to the process
      std::unique_lock<std::mutex> lock(one_at_a_time);
      Network net = network();
      const Tensors batches{net.input(1), net.input(2)};
      lock.unlock();
      Calibration calibration(fuller::IMTL_G(), task_names(tasks), options);
      Trace trace;
      for (std::size_t number = 0; number < batches.size(); ++number) {
        const bool idle = number == 1;
        const Tensor x = batches[number];
        const auto back = [&](const std::vector<Part>& parts) {
          calibration.accumulate(static_cast<std::int64_t>(parts.size()));
          for (const Part& part : parts) {
            const Presence present = number == 0 ? all_present : part.present;  // Surface::all_shared has to see all once
            (calibrated_loss(calibration, net, x.slice(0, part.from, part.to), present) * part.share).backward();
          }
        };
        if (meeting != nullptr) {
          rank == 0 ? back(of_0) : idle ? calibration.idle_step() : back(of_1);
        } else {
          std::vector<Part> all = of_0;
          if (!idle) {
            all.push_back(of_1.front());
          }
          for (Part& part : all) {
            part.share /= 2;  // the mean over ranks
          }
          back(all);
        }
        Tensors gradients = gradients_of(net.parameters());
        if (meeting != nullptr) {
          meeting->average(gradients);
        }
        append(trace.gradients, gradients);
        const Diagnostics seen = calibration.diagnostics();
        trace.weights.insert(trace.weights.end(), seen.weights.begin(), seen.weights.end());
        trace.norms.insert(trace.norms.end(), seen.norms.begin(), seen.norms.end());
        clear(net.parameters());
      }
      return trace;
    };
    Meeting meeting(2);
    std::vector<Trace> of_ranks(2);
    const auto thrown = in_threads(2, [&](int rank) { of_ranks[static_cast<std::size_t>(rank)] = run(rank, &meeting); });
    REQUIRE(thrown == std::vector<std::string>{"", ""});
    CHECK(of_ranks[0].weights == of_ranks[1].weights);
    CHECK(equal(of_ranks[0].gradients, of_ranks[1].gradients));
    expect_equal(of_ranks[0], run(0, nullptr));
  }
}

TEST_CASE("Accumulated: steps on a device equal those on the host, and wait for nothing", "[cuda]") {
  const Way way = GENERATE(Way::kernels, Way::host_rule);
  for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
    INFO("surface " << static_cast<int>(surface));
    Calibration host(fuller::GradNorm(), task_names(tasks), at_surface(surface));
    Calibration device(fuller::GradNorm(), task_names(tasks), at_surface(surface));
    device.use(steps_by(way));
    Network on_host = network();
    Network on_device = network();
    for (int number = 0; number < 2; ++number) {
      step(host, on_host, on_host.input(number), 2);
      const auto operators = operators_of([&] { step(device, on_device, on_device.input(number), 2); });
      CHECK_FALSE(waits(operators));
      CHECK(difference(gradients_of(on_device.parameters()), gradients_of(on_host.parameters())) < 1e-9);
      CHECK(difference_of(device.diagnostics().weights, host.diagnostics().weights) < 1e-9);
      CHECK(device.diagnostics().micro_batches == 2);
    }
  }
}

TEST_CASE("Accumulated: resumed between steps, bit for bit") {
  Calibration through(fuller::GradNorm(), task_names(tasks));
  Network net = network();
  step(through, net, net.input(1), 2);
  descend(net.parameters());
  std::stringstream file;
  torch::save(through, file);
  Calibration resumed(fuller::GradNorm(), task_names(tasks));
  torch::load(resumed, file);
  step(through, net, net.input(2), 5);
  const Tensors uninterrupted = gradients_of(net.parameters());
  clear(net.parameters());
  step(resumed, net, net.input(2), 5);
  CHECK(equal(gradients_of(net.parameters()), uninterrupted));
  CHECK(resumed.steps() == 2);
}

}  // namespace accumulation_test
