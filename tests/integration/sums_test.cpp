// SPDX-License-Identifier: Apache-2.0
// All shared parameters after a fork: the weighted sum of the T task gradients trains, and nothing passes the trunk once more.
// Where something between must see the pass that trains, there is one. Each against one ordinary backward a task.
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/meeting.hpp"
#include "support/multi_backward.hpp"
#include "support/networks.hpp"
#include "support/probe.hpp"

using namespace fuller::testing;
using namespace torch::nn;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Diagnostics;
using fuller::NonFinite;
using fuller::Surface;

namespace {

CalibrationOptions all_shared() {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  return options;
}

/// PCGrad's weights in a first step, heads unweighted.
Weights pcgrad(const Eigen::MatrixXd& gram) {
  const auto tasks = static_cast<std::size_t>(gram.rows());
  RuleAlone<fuller::PCGrad> alone(fuller::PCGrad(), static_cast<int>(tasks));
  Weights weights = alone(gram, std::vector<double>(tasks, 0.0));
  weights.heads.assign(tasks, 1.0);
  return weights;
}

/// What PCGrad's first step on all shared parameters must leave in .grad.
Tensors expected_by_pcgrad(Network& net, const Tensor& x) {
  return expected_gradients(net, x, pcgrad(gram_at(plain_losses(net, x), net.shared_parameters())));
}

/// Counts what a leaf's node has done.
struct Counts : torch::autograd::FunctionPostHook {
  explicit Counts(int& times) : times_(times) {}
  torch::autograd::variable_list operator()(const torch::autograd::variable_list& out,
                                            const torch::autograd::variable_list& /*in*/) override {
    ++times_;
    return out;
  }
  int& times_;
};

/// x times itself, whose backward counts, and adds to a tensor of its own.
struct Adds : torch::autograd::Function<Adds> {
  static Tensor forward(torch::autograd::AutogradContext* context, const Tensor& x, const Tensor& sum) {
    context->save_for_backward({x});
    context->saved_data["sum"] = sum;
    return x * x;
  }
  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& gradients) {
    context->saved_data["sum"].toTensor().add_(gradients[0]);
    return {2 * context->get_saved_variables()[0] * gradients[0], Tensor()};
  }
};

/// Two layers, and `between` them something that may need to see the pass that trains.
struct Trunk {
  Linear first{3, 4};
  Linear second{4, 5};
  Tensor x;
  std::function<Tensor(const Tensor&)> between = [](const Tensor& h) { return h.tanh(); };

  Trunk() {
    torch::manual_seed(31);
    first = Linear(3, 4);
    second = Linear(4, 5);
    first->to(torch::kDouble);
    second->to(torch::kDouble);
    x = torch::randn({6, 3}, torch::kDouble);
  }
  Tensor features() { return second(between(first(x))); }
  Tensors parameters() const { return {first->weight, first->bias, second->weight, second->bias}; }
  static Tensors losses_of(const std::vector<Tensor>& z) { return {z[0].sin().sum(), -z[1].pow(3).sum() + z[1].sum()}; }

  Tensors expected() {
    const Tensor z = features();
    const Tensors losses = losses_of({z, z});
    return weighted_gradients(losses, parameters(), {{}, {}}, pcgrad(gram_at(losses, parameters())));
  }
  Tensor loss(Calibration& calibration, const Tensors& named = {}) {
    const auto z = calibration.fork<2>(features(), named);
    return calibration.sum(losses_of({z[0], z[1]}));
  }
};

}  // namespace

TEST_CASE("Sums: T passes for T tasks, and whatever hangs on a parameter sees one gradient") {
  for (const auto& make : {conv_network, pyramid_network}) {
    for (const int tasks : {1, 2, 4}) {
      Network net = make(tasks, torch::kDouble);
      const Tensor x = net.input(3);
      const Tensors expected = expected_by_pcgrad(net, x);
      const Tensors shared = net.shared_parameters();
      std::vector<int> hooked(shared.size(), 0);
      std::vector<int> accumulated(shared.size(), 0);
      Tensors seen(shared.size());
      std::vector<decltype(torch::autograd::impl::grad_accumulator(Tensor()))> accumulators;
      for (std::size_t k = 0; k < shared.size(); ++k) {
        shared[k].register_hook([&, k](const Tensor& gradient) {
          ++hooked[k];
          seen[k] = gradient.clone();
        });
        accumulators.push_back(torch::autograd::impl::grad_accumulator(shared[k]));
        accumulators.back()->add_post_hook(std::make_unique<Counts>(accumulated[k]));
      }
      Calibration calibration(fuller::PCGrad(), task_names(tasks));
      CHECK(difference(calibrated_gradients(calibration, net, x), expected) < 1e-12);
      const Diagnostics shown = calibration.diagnostics();
      CHECK(shown.passes == tasks);
      CHECK(shown.summed);
      CHECK(shown.one_more.empty());
      CHECK(contains(calibration.describe(), "their weighted sum trains"));
      for (std::size_t k = 0; k < shared.size(); ++k) {
        CHECK(hooked[k] == 1);
        CHECK(accumulated[k] == 1);
        CHECK(difference({seen[k]}, {expected[k]}) < 1e-12);
      }
    }
  }
}

TEST_CASE("Sums: with one pass more the weights are the same bits, and the gradients equal to rounding") {
  for (const auto& make : {conv_network, pyramid_network}) {
    Network net = make(3, torch::kFloat);
    const Tensor x = net.input(4);
    const auto gradients = [&](bool hooked, std::vector<double>& weights) {
      Calibration calibration(fuller::IMTL_G(), task_names(3), all_shared());
      clear(net.parameters());
      const Tensors z = net.features(x);
      if (hooked) {
        z.back().register_hook([](const Tensor& gradient) { return gradient; });
      }
      const auto levels = calibration.fork_levels(z);
      calibration.sum({net.loss(0, levels[0]), net.loss(1, levels[1]), net.loss(2, levels[2])}).backward();
      CHECK(calibration.diagnostics().summed == !hooked);
      weights = calibration.diagnostics().weights;
      return gradients_of(net.parameters());
    };
    std::vector<double> summed;
    std::vector<double> passed;
    const Tensors by_sums = gradients(false, summed);
    CHECK(difference(by_sums, gradients(true, passed)) < 1e-5);
    CHECK(summed == passed);
  }
}

TEST_CASE("Sums: what must see the pass that trains gets one, and the diagnostics say why") {
  Trunk trunk;
  Calibration calibration(fuller::PCGrad(), {"a", "b"});
  Tensors named;
  std::string why;
  int calls = 0;
  Tensors seen;
  const auto check = [&] {
    const Tensors expected = trunk.expected();
    calls = 0;
    seen.clear();
    clear(trunk.parameters());
    trunk.loss(calibration, named).backward();
    CHECK(difference(gradients_of(trunk.parameters()), expected) < 1e-12);
    const Diagnostics shown = calibration.diagnostics();
    INFO(shown.one_more);
    CHECK(shown.passes == 2);
    CHECK_FALSE(shown.summed);
    CHECK(contains(shown.one_more, why));
    CHECK(contains(calibration.describe(), "and one that trains (" + shown.one_more));
  };
  SECTION("a hook on an activation, which sees the tasks' gradients and, last, their sum") {
    why = "a hook or retain_grad() on an activation, at TanhBackward";
    trunk.between = [&](const Tensor& h) {
      const Tensor y = h.tanh();
      y.register_hook([&](const Tensor& gradient) {
        ++calls;
        seen.push_back(gradient.clone());
        return gradient * 2;
      });
      return y;
    };
    check();
    REQUIRE(calls == 3);
    const std::vector<double> w = calibration.diagnostics().weights;
    CHECK(difference({seen[2]}, {w[0] * seen[0] + w[1] * seen[1]}) < 1e-12);
  }
  SECTION("retain_grad()") {
    why = "a hook or retain_grad() on an activation";
    Tensor kept;
    trunk.between = [&](const Tensor& h) {
      kept = h.tanh();
      kept.retain_grad();
      return kept;
    };
    check();
    CHECK(kept.grad().defined());
  }
  SECTION("a hook on the shared representation itself") {
    why = "a hook or retain_grad() on an activation, at AddmmBackward";
    const Tensors expected = trunk.expected();
    const Tensor z = trunk.features();
    z.register_hook([&](const Tensor& /*gradient*/) { ++calls; });
    const auto forked = calibration.fork<2>(z);
    clear(trunk.parameters());
    calibration.sum(Trunk::losses_of({forked[0], forked[1]})).backward();
    CHECK(calls == 3);
    CHECK(difference(gradients_of(trunk.parameters()), expected) < 1e-12);
    CHECK(contains(calibration.diagnostics().one_more, why));
  }
  SECTION("a function of the user's that adds to something") {
    why = "a function that is not LibTorch's own";
    Tensor sum = torch::zeros({6, 4}, torch::kDouble);
    trunk.between = [&](const Tensor& h) { return Adds::apply(h.tanh(), sum); };
    check();
    // Once for each task, as before, and once with what trains.
    const Tensor h = trunk.first(trunk.x).tanh();
    const Tensor y = (h * h).detach().requires_grad_();
    const Tensor z = trunk.second(y);
    const Tensors losses = Trunk::losses_of({z, z});
    const std::vector<double> w = calibration.diagnostics().weights;
    sum.zero_();
    clear(trunk.parameters());
    trunk.loss(calibration).backward();
    CHECK(difference({sum}, {(1 + w[0]) * gradient_of(losses[0], {y})[0] + (1 + w[1]) * gradient_of(losses[1], {y})[0]}) < 1e-12);
  }
  SECTION("an operation in place on a view") {
    why = "in place on a view";
    trunk.between = [](const Tensor& h) {
      Tensor y = h.clone();
      y.slice(1, 0, 2).tanh_();
      return y;
    };
    check();
  }
  SECTION("a trained parameter that is not compared") {
    why = "is trained too and is not compared";
    calibration.name_parameters(trunk.second->named_parameters());
    named = {trunk.first->weight, trunk.first->bias, trunk.second->weight};
    const Tensor z = trunk.features();
    const Tensors losses = Trunk::losses_of({z, z});
    const Tensors expected = weighted_gradients(losses, trunk.parameters(), {{}, {}}, pcgrad(gram_at(losses, named)));
    trunk.loss(calibration, named).backward();
    CHECK(difference(gradients_of(trunk.parameters()), expected) < 1e-12);
    CHECK(calibration.diagnostics().one_more == "the parameter 'bias' of shape [5] is trained too and is not compared");
  }
  SECTION("a sparse gradient") {
    why = "a sparse gradient";
    Embedding table(EmbeddingOptions(10, 4).sparse(true));
    table->to(torch::kDouble);
    const auto features = [&] { return trunk.second(table(torch::tensor({1, 7, 7})).tanh()); };
    const Tensors parameters{table->weight, trunk.second->weight, trunk.second->bias};
    const Tensor z = features();
    const Tensors losses = Trunk::losses_of({z, z});
    std::vector<Tensors> gradients;
    for (const Tensor& loss : losses) {
      Tensors of_task = torch::autograd::grad({loss}, parameters, {}, true);
      of_task[0] = of_task[0].to_dense();
      gradients.push_back(of_task);
    }
    const Weights weights = pcgrad(gram_of(gradients));
    const auto forked = calibration.fork<2>(features());
    calibration.sum(Trunk::losses_of({forked[0], forked[1]})).backward();
    CHECK(contains(calibration.diagnostics().one_more, why));
    for (std::size_t k = 0; k < parameters.size(); ++k) {
      const Tensor expected = weights.shared[0] * gradients[0][k] + weights.shared[1] * gradients[1][k];
      CHECK(difference({parameters[k].grad()}, {expected}) < 1e-12);
    }
    CHECK(table->weight.grad().is_sparse());
  }
}

TEST_CASE("Sums: a backward to some inputs alone passes the trunk, and touches those alone") {
  Trunk trunk;
  const Tensors expected = trunk.expected();
  Calibration calibration(fuller::PCGrad(), {"a", "b"});
  Tensor middle;
  trunk.between = [&](const Tensor& h) { return middle = h.tanh(); };
  trunk.loss(calibration).backward({}, /*retain_graph=*/false, /*create_graph=*/false, {trunk.second->weight});
  CHECK(difference({trunk.second->weight.grad()}, {expected[2]}) < 1e-12);
  CHECK_FALSE(trunk.first->weight.grad().defined());
  CHECK(contains(calibration.diagnostics().one_more, "to some inputs alone"));

  clear(trunk.parameters());
  const Tensors got = torch::autograd::grad({trunk.loss(calibration)}, {trunk.first->weight, trunk.second->bias});
  CHECK(difference(got, {expected[0], expected[3]}) < 1e-12);
  CHECK_FALSE(trunk.first->weight.grad().defined());

  const Tensor loss = trunk.loss(calibration);
  const Tensor at_middle = torch::autograd::grad({loss}, {middle})[0];
  const std::vector<double> w = calibration.diagnostics().weights;
  const Tensor y = middle.detach().requires_grad_();
  const Tensor z = trunk.second(y);
  const Tensors losses = Trunk::losses_of({z, z});
  CHECK(difference({at_middle}, {w[0] * gradient_of(losses[0], {y})[0] + w[1] * gradient_of(losses[1], {y})[0]}) < 1e-12);
}

TEST_CASE("Sums: terms that enter upstream of the fork are added, and a hook that changes a gradient acts once on the whole") {
  Trunk trunk;
  Tensor middle;
  trunk.between = [&](const Tensor& h) { return middle = h.tanh(); };
  const auto outside = [&] {
    Tensor sum = middle.abs().sum();
    for (const Tensor& parameter : trunk.parameters()) {
      sum = sum + 0.1 * parameter.pow(2).sum();
    }
    return sum;
  };
  Tensors expected = trunk.expected();
  const Tensors more = gradient_of(outside(), trunk.parameters());
  for (std::size_t k = 0; k < expected.size(); ++k) {
    expected[k] = expected[k] + more[k];
  }
  expected[0] = -3 * expected[0];
  trunk.first->weight.register_hook([](const Tensor& gradient) { return -3 * gradient; });
  Calibration calibration(fuller::PCGrad(), {"a", "b"});
  for (int step = 1; step <= 2; ++step) {  // the second accumulates
    const Tensor loss = trunk.loss(calibration);
    (loss + outside()).backward();
    CHECK(calibration.diagnostics().summed);
    Tensors so_far;
    for (const Tensor& gradient : expected) {
      so_far.push_back(step * gradient);
    }
    CHECK(difference(gradients_of(trunk.parameters()), so_far) < 1e-12);
  }
}

TEST_CASE("Sums: two forwards of one trunk in one backward, and one graph that is walked twice") {
  Trunk trunk;
  const Tensor one = trunk.x;
  const Tensor two = one.flip(0) * 0.7 + 0.2;
  Tensors expected = trunk.expected();
  trunk.x = two;
  const Tensors of_two = trunk.expected();
  for (std::size_t k = 0; k < expected.size(); ++k) {
    expected[k] = expected[k] + of_two[k];
  }
  Calibration calibration(fuller::PCGrad(), {"a", "b"});
  trunk.x = one;
  const Tensor first = trunk.loss(calibration);
  trunk.x = two;
  const Tensor second = trunk.loss(calibration);
  (first + second).backward({}, /*retain_graph=*/true);
  CHECK(calibration.steps() == 2);
  CHECK(calibration.diagnostics().summed);
  CHECK(difference(gradients_of(trunk.parameters()), expected) < 1e-12);
  clear(trunk.parameters());
  second.backward();
  CHECK(difference(gradients_of(trunk.parameters()), of_two) < 1e-12);
}

TEST_CASE("Sums: a backward that throws leaves nothing on the parameters") {
  Trunk trunk;
  const Tensors expected = trunk.expected();
  Calibration calibration(fuller::PCGrad(), {"a", "b"});
  const unsigned hook =
      trunk.second->weight.register_hook([](const Tensor& /*gradient*/) -> Tensor { throw std::runtime_error("boom"); });
  CHECK(thrown_by([&] { trunk.loss(calibration).backward(); }) == "boom");
  trunk.second->weight.remove_hook(hook);
  clear(trunk.parameters());
  const Tensor z = trunk.features();
  const Tensors plain = gradient_of(z.sum(), trunk.parameters());
  z.sum().backward();
  CHECK(equal(gradients_of(trunk.parameters()), plain));
  clear(trunk.parameters());
  trunk.loss(calibration).backward();
  CHECK(difference(gradients_of(trunk.parameters()), expected) < 1e-12);
}

TEST_CASE("Sums: a task that is not finite is left out, by selection") {
  Trunk trunk;
  CalibrationOptions options = all_shared();
  options.non_finite = NonFinite::skip;
  Calibration calibration(fuller::PCGrad(), {"a", "b"}, options);
  const auto z = calibration.fork<2>(trunk.features());
  Tensors losses = Trunk::losses_of({z[0], z[1]});
  losses[1] = losses[1] / torch::zeros({}, torch::kDouble);
  calibration.sum(losses).backward();
  const Tensor plain = trunk.features();
  CHECK(calibration.diagnostics().summed);
  CHECK(difference(gradients_of(trunk.parameters()), gradient_of(Trunk::losses_of({plain, plain})[0], trunk.parameters())) <
        1e-12);
}

TEST_CASE("Sums: frozen between forward and backward, a leaf that is z itself, and leaves that some tasks do not reach") {
  Trunk trunk;
  Calibration calibration(fuller::PCGrad(), {"a", "b"});
  const Tensors expected = trunk.expected();
  const Tensor loss = trunk.loss(calibration);
  trunk.first->weight.set_requires_grad(false);
  loss.backward();
  CHECK_FALSE(trunk.first->weight.grad().defined());
  CHECK(difference({trunk.second->weight.grad()}, {expected[2]}) < 1e-12);

  const Tensor shared = torch::randn({4}, torch::kDouble).requires_grad_();
  const Tensor of_a = torch::randn({4}, torch::kDouble).requires_grad_();
  const auto losses_of = [](const Tensors& a, const Tensors& b) {
    return Tensors{(a[0].sin() * a[1]).sum(), -b[0].sin().pow(3).sum() + b[0].sum()};
  };
  const Tensors leaves{shared, of_a};
  const Tensors levels{shared, of_a * 2};
  const Tensors losses = losses_of(levels, levels);
  const Tensors wanted = weighted_gradients(losses, leaves, {{}, {}}, pcgrad(gram_at(losses, leaves)));
  Calibration other(fuller::PCGrad(), {"a", "b"});
  const auto forked = other.fork_levels({shared, of_a * 2});
  other.sum(losses_of(forked[0], forked[1])).backward();
  CHECK(other.diagnostics().summed);
  CHECK(difference(gradients_of(leaves), wanted) < 1e-12);
}

TEST_CASE("Sums: each of several ranks trains by its own gradients, with the weights of all") {
  constexpr int ranks = 2;
  std::vector<Trunk> trunks(ranks);  // one after the other: the generator belongs to the process
  trunks[1].x = trunks[1].x.flip(1) * 1.5;
  std::vector<Tensors> own(ranks);  // of each rank, those of both tasks
  std::vector<Tensors> mean(2);
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    const Tensor z = trunks[rank].features();
    const Tensors losses = Trunk::losses_of({z, z});
    for (std::size_t i = 0; i < 2; ++i) {
      const Tensors gradients = gradient_of(losses[i], trunks[rank].parameters());
      append(own[rank], gradients);
      for (std::size_t k = 0; k < gradients.size(); ++k) {
        if (rank == 0) {
          mean[i].push_back(gradients[k] / ranks);
        } else {
          mean[i][k] = mean[i][k] + gradients[k] / ranks;
        }
      }
    }
  }
  const std::vector<double> w = pcgrad(gram_of(mean)).shared;
  Meeting meeting(ranks);
  std::vector<Diagnostics> shown(ranks);
  const auto run_rank = [&](std::size_t rank) {
    CalibrationOptions options;
    options.ranks.count = ranks;
    options.ranks.average = [&](Tensors& tensors) { meeting.average(tensors); };
    Calibration calibration(fuller::PCGrad(), {"a", "b"}, options);
    trunks[rank].loss(calibration).backward();
    shown[rank] = calibration.diagnostics();
  };
  std::thread other([&] { run_rank(1); });
  run_rank(0);
  other.join();
  for (std::size_t rank = 0; rank < ranks; ++rank) {
    CHECK(shown[rank].summed);
    CHECK(largest_difference(shown[rank].weights, w) < 1e-12);
    Tensors expected;
    for (std::size_t k = 0; k < 4; ++k) {
      expected.push_back(w[0] * own[rank][k] + w[1] * own[rank][4 + k]);
    }
    CHECK(difference(gradients_of(trunks[rank].parameters()), expected) < 1e-12);
  }
}
