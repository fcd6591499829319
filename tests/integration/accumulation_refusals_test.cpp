// SPDX-License-Identifier: Apache-2.0
// Micro-batches that make one step: what cannot be exact is refused in words, on every rank; what was gathered is then let go of,
// and the next micro-batch begins a step.
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/meeting.hpp"
#include "support/networks.hpp"
#include "support/rank_threads.hpp"

using namespace fuller::testing;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Surface;

namespace accumulation_refusals_test {

constexpr int tasks = 2;

struct Setup {
  Network net = linear_network(tasks);
  Calibration calibration{fuller::IMTL_G(), task_names(tasks)};

  explicit Setup(int micro_batches = 2) { calibration.accumulate(micro_batches); }

  void micro_batch(int seed = 1) { calibrated_loss(calibration, net, net.input(seed)).backward(); }
  void whole_step() {
    micro_batch(1);
    micro_batch(2);
  }
};

/// That the words are there, and that the next step is one of the micro-batches that follow.
void expect_refused(Setup& setup, const std::string& thrown, const std::vector<std::string>& words) {
  for (const std::string& part : words) {
    INFO(thrown);
    CHECK(contains(thrown, part));
  }
  CHECK(setup.calibration.diagnostics().gathered == 0);
  clear(setup.net.parameters());
  const std::int64_t steps = setup.calibration.steps();
  setup.whole_step();
  CHECK(setup.calibration.steps() == steps + 1);
  Setup fresh;
  fresh.whole_step();
  CHECK(difference(gradients_of(setup.net.parameters()), gradients_of(fresh.net.parameters())) < 1e-13);
}

TEST_CASE("Accumulated: no steps of no micro-batch, and no rule that has no weights") {
  Setup setup;
  CHECK(contains(thrown_by([&] { setup.calibration.accumulate(0); }), "1 micro-batch or more"));
  Calibration drop(fuller::GradDrop(), task_names(tasks));
  CHECK(contains(thrown_by([&] { drop.accumulate(2); }), "leave the call out"));
  drop.accumulate(1);
  CHECK(setup.calibration.diagnostics().micro_batches == 1);
}

TEST_CASE("Accumulated: hooks and retain_grad() on activations are refused, of parameters not") {
  Setup setup;
  setup.micro_batch();
  const std::string hook = thrown_by([&] {
    const Tensor z = setup.net.features(setup.net.input(2)).front();
    z.register_hook([](const Tensor& gradient) { return gradient; });
    const auto of_tasks = setup.calibration.fork(z);
    setup.calibration.sum({setup.net.loss(0, {of_tasks[0]}), setup.net.loss(1, {of_tasks[1]})}).backward();
  });
  expect_refused(setup, hook, {"accumulate(2)", "a hook or retain_grad() on an activation", "hooks of parameters may stay"});
  const std::string retained = thrown_by([&] {
    const auto of_tasks = setup.calibration.fork(setup.net.features(setup.net.input(2)).front());
    of_tasks[0].retain_grad();
    setup.calibration.sum({setup.net.loss(0, {of_tasks[0]}), setup.net.loss(1, {of_tasks[1]})}).backward();
  });
  expect_refused(setup, retained, {"a hook or retain_grad() on an activation"});
}

TEST_CASE("Accumulated: gates, checkpoints, another calibration and sparse gradients are refused") {
  Setup setup;
  Network& net = setup.net;
  const auto of_z = [&](const Tensor& z) {
    const auto of_tasks = setup.calibration.fork(z);
    return setup.calibration.sum({net.loss(0, {of_tasks[0]}), net.loss(1, {of_tasks[1]})});
  };
  const auto made = [](std::int64_t rows, std::int64_t columns) { return torch::randn({rows, columns}, torch::kDouble); };
  SECTION("gates") {
    setup.calibration.modalities(fuller::ModalityGate(), {"left", "right"});
    const Tensor fuse = made(10, 6).requires_grad_();
    const Tensor branch = made(6, 3).requires_grad_();
    const std::string thrown = thrown_by([&] {
      const Tensor x = net.input(1);
      const auto [left, right] = setup.calibration.gate<2>({x.mm(branch), x.mm(branch).tanh()}, fuse);
      of_z(torch::cat({left, right}, 1).mm(fuse.t())).backward();
    });
    expect_refused(setup, thrown, {"gates, which are set by the gradient of all tasks", "leave accumulate() out"});
  }
  SECTION("a checkpoint") {
    torch::nn::Sequential inner(torch::nn::Linear(6, 10));
    inner->to(torch::kDouble);
    const Tensor outer = made(10, 10).requires_grad_();
    const std::string thrown =
        thrown_by([&] { of_z(Checkpoint::apply(net.input(1).requires_grad_(), inner).mm(outer)).backward(); });
    CHECK(inner->parameters()[0].grad().defined());  // which the message speaks of
    expect_refused(setup, thrown, {"a checkpoint ran its forward again", "leave accumulate() out"});
  }
  SECTION("a calibration in a head") {
    Calibration other(fuller::PCGrad(), {"a", "b"}, {Surface::all_shared});
    const std::string thrown = thrown_by([&] {
      const auto of_tasks = setup.calibration.fork(net.features(net.input(1)).front());
      const Tensor loss = net.loss(0, {of_tasks[0]});
      setup.calibration.sum({other.sum({loss, loss * 2}), net.loss(1, {of_tasks[1]})}).backward();
    });
    expect_refused(setup, thrown, {"another node of fuller's"});
  }
  SECTION("a sparse gradient") {
    const Tensor table = made(5, 10).requires_grad_();
    const std::string thrown = thrown_by([&] {
      const Tensor rows = torch::embedding(table, torch::tensor({0, 3, 3, 1}), -1, false, /*sparse=*/true);
      const auto of_tasks = setup.calibration.fork(rows, {table});
      setup.calibration.sum({net.loss(0, {of_tasks[0]}), net.loss(1, {of_tasks[1]})}).backward();
    });
    expect_refused(setup, thrown, {"a sparse one", "make the Embedding dense"});
  }
}

TEST_CASE("Accumulated: backwards to some inputs and with create_graph are refused") {
  Setup setup;
  Network& net = setup.net;
  const Tensor some = calibrated_loss(setup.calibration, net, net.input(1));
  expect_refused(setup, thrown_by([&] { some.backward({}, false, false, Tensors{net.last.front()}); }),
                 {"the backward is one to some inputs alone"});
  const Tensor of_head = calibrated_loss(setup.calibration, net, net.input(1));
  expect_refused(setup, thrown_by([&] { torch::autograd::grad({of_head}, net.head_parameters(0)); }),
                 {"the backward is one to some inputs alone"});
  const Tensor twice = calibrated_loss(setup.calibration, net, net.input(1));
  expect_refused(setup, thrown_by([&] { twice.backward({}, false, /*create_graph=*/true); }), {"create_graph"});
}

TEST_CASE("Accumulated: what throws in a micro-batch has the step start over") {
  Setup setup;
  setup.micro_batch();
  const std::string thrown = thrown_by([&] {
    const auto of_tasks = setup.calibration.fork(setup.net.features(setup.net.input(2)).front());
    setup.calibration.sum({Fails::apply(setup.net.loss(0, {of_tasks[0]})), setup.net.loss(1, {of_tasks[1]})}).backward();
  });
  expect_refused(setup, thrown, {"boom"});
  setup.micro_batch();
  const Tensor term = Fails::apply(setup.net.shared_parameters().front().sum());  // made first, so it runs after the sum
  const Tensor sum = calibrated_loss(setup.calibration, setup.net, setup.net.input(2));
  expect_refused(setup, thrown_by([&] { (sum + term).backward(); }), {"boom"});
  const Tensor again = Fails::apply(setup.net.shared_parameters().front().sum());
  const Tensor first = calibrated_loss(setup.calibration, setup.net, setup.net.input(1));
  expect_refused(setup, thrown_by([&] { (first + again).backward(); }), {"boom"});
}

TEST_CASE("Accumulated: accumulate() and load() in the middle of a step begin anew; save(), use() and idle_step() refuse") {
  Setup setup;
  std::stringstream file;
  torch::save(setup.calibration, file);
  setup.micro_batch();
  std::stringstream other;
  for (const std::string& thrown :
       {thrown_by([&] { torch::save(setup.calibration, other); }), thrown_by([&] { setup.calibration.use(nullptr); }),
        thrown_by([&] { setup.calibration.idle_step(); })}) {
    INFO(thrown);
    CHECK(contains(thrown, "in the middle of an accumulation: 1 of 2 micro-batches"));
  }
  CHECK(setup.calibration.diagnostics().gathered == 1);
  setup.calibration.accumulate(2);
  expect_refused(setup, "", {});
  setup.micro_batch();
  torch::load(setup.calibration, file);
  expect_refused(setup, "", {});
}

TEST_CASE("Accumulated: an optimiser's step between the micro-batches of a step is refused where it has moved something") {
  Setup setup;
  torch::optim::Adam adam(setup.net.parameters(), torch::optim::AdamOptions(1e-3));
  torch::optim::SGD decays(setup.net.parameters(), torch::optim::SGDOptions(1e-3).weight_decay(0.1));
  setup.micro_batch();
  adam.step();  // no parameter has a gradient: nothing moves
  decays.step();
  setup.micro_batch(2);
  CHECK(setup.calibration.steps() == 1);
  const Tensors before = copies_of(setup.net.parameters());
  for (torch::optim::Optimizer* optimizer :
       {static_cast<torch::optim::Optimizer*>(&adam), static_cast<torch::optim::Optimizer*>(&decays)}) {
    optimizer->zero_grad();
    for (const Tensor& parameter : setup.net.parameters()) {
      parameter.mutable_grad() = torch::ones_like(parameter);
    }
    setup.micro_batch();
    optimizer->step();
    const std::string thrown = thrown_by([&] { setup.micro_batch(2); });
    {
      const torch::NoGradGuard no_grad;
      for (std::size_t k = 0; k < before.size(); ++k) {
        setup.net.parameters()[k].copy_(before[k]);
      }
    }
    expect_refused(setup, thrown, {"was written after micro-batch 1 of 2", "calibration.accumulate(1)"});
  }
}

TEST_CASE("Accumulated: micro-batches that share nothing are plain sums, and do not mix with others") {
  Setup setup;
  Network& net = setup.net;
  const auto freeze = [&](bool frozen) {
    for (const Tensor& parameter : net.shared_parameters()) {
      parameter.set_requires_grad(!frozen);
    }
  };
  freeze(true);
  setup.micro_batch(1);
  const Tensors once = gradients_of(net.all_heads());
  CHECK(setup.calibration.diagnostics().route == fuller::Route::plain);
  setup.micro_batch(1);
  for (std::size_t k = 0; k < once.size(); ++k) {
    CHECK(difference({net.all_heads()[k].grad()}, {once[k] * 2}) < 1e-14);
  }
  CHECK(setup.calibration.steps() == 0);
  setup.micro_batch(1);
  freeze(false);
  expect_refused(setup, thrown_by([&] { setup.micro_batch(2); }), {"freeze or unfreeze between steps alone"});
  setup.micro_batch(1);
  freeze(true);
  const std::string thrown = thrown_by([&] { setup.micro_batch(2); });
  freeze(false);
  expect_refused(setup, thrown, {"freeze or unfreeze between steps alone"});
}

TEST_CASE("Accumulated: a parameter that is in one head now and in another then needs all that is shared compared") {
  Network net = linear_network(tasks);
  Calibration calibration(fuller::IMTL_G(), task_names(tasks));
  calibration.accumulate(2);
  const Tensor scale = torch::ones({}, torch::kDouble).requires_grad_();
  const auto micro_batch = [&](std::size_t in_head) {
    const auto z = calibration.fork(net.features(net.input(1)).front());
    Tensors losses{net.loss(0, {z[0]}), net.loss(1, {z[1]})};
    losses[in_head] = losses[in_head] * scale;
    calibration.sum(losses).backward();
  };
  micro_batch(0);
  const std::string thrown = thrown_by([&] { micro_batch(1); });
  CHECK(contains(thrown, "in the head of 't0' in one micro-batch"));
  CHECK(contains(thrown, "fuller::Surface::all_shared"));
}

TEST_CASE("Accumulated: a rank whose micro-batch throws has the others refuse the step") {
  Meeting meeting(2);
  std::vector<std::int64_t> steps(2);
  const auto thrown = in_threads(2, [&](int rank) {
    CalibrationOptions options;
    options.ranks.rank = rank;
    options.ranks.count = 2;
    options.ranks.average = [&](Tensors& tensors) { meeting.average(tensors); };
    Calibration calibration(fuller::IMTL_G(), task_names(tasks), options);
    torch::nn::Linear trunk(3, 4);
    std::vector<torch::nn::Linear> heads{torch::nn::Linear(4, 1), torch::nn::Linear(4, 1)};
    calibration.accumulate(2);
    const auto micro_batch = [&](bool fails) {
      const auto z = calibration.fork(trunk(torch::ones({2, 3})));
      const Tensor loss = heads[0](z[0]).pow(2).mean();
      calibration.sum({fails ? Fails::apply(loss) : loss, heads[1](z[1]).pow(2).mean()}).backward();
    };
    try {
      micro_batch(rank == 1);
      micro_batch(false);
    } catch (const std::exception&) {
      micro_batch(false);  // both begin anew, and meet again
      micro_batch(false);
      steps[static_cast<std::size_t>(rank)] = calibration.steps();
      throw;
    }
  });
  CHECK(contains(thrown[0], "rank 1 has refused"));
  CHECK(contains(thrown[1], "boom"));
  CHECK(steps == std::vector<std::int64_t>{1, 1});
}

}  // namespace accumulation_refusals_test
