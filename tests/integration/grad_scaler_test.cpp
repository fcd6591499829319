// SPDX-License-Identifier: Apache-2.0
// The gradient scaler against what Python's does, step by step, and with a calibration: a step that is skipped has moved nothing.
#include <sstream>

#include <torch/torch.h>

#include <fuller/amp/grad_scaler.hpp>
#include <fuller/fuller.hpp>

#include "reference/grad_scaler_values.hpp"
#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/meeting.hpp"
#include "support/rank_threads.hpp"

namespace grad_scaler_test {

using fuller::GradScaler;
using fuller::GradScalerOptions;
using fuller::testing::contains;
using fuller::testing::thrown_by;
using torch::Tensor;

TEST_CASE("the scaler's steps are those of torch.amp.GradScaler, number by number", "[amp]") {
  const Tensor first = torch::tensor({1.0F, 2.0F, 3.0F}).requires_grad_();
  const Tensor second = torch::tensor({-1.0F, 0.5F}).requires_grad_();
  torch::optim::SGD of_first({first}, 0.25);
  torch::optim::SGD of_second({second}, 0.25);
  GradScalerOptions options;
  options.initial = 1024;
  options.growth_interval = 3;
  auto scaler = std::make_unique<GradScaler>(options);
  for (std::size_t s = 0; s < fuller::testing::scaler_steps.size(); ++s) {
    INFO("step " << s);
    const auto& given = fuller::testing::scaler_steps[s];
    const auto& expected = fuller::testing::scaler_expected[s];
    if (s == 6) {
      std::stringstream file;
      torch::save(*scaler, file);
      scaler = std::make_unique<GradScaler>();
      torch::load(*scaler, file);
    }
    const auto scale = scaler->scale(torch::tensor(1.0F));
    first.mutable_grad() = torch::tensor(given.first) * scale;
    second.mutable_grad() = given.has_second ? torch::tensor(given.second) * scale : Tensor();
    if (s % 2 == 1) {
      scaler->unscale_(of_first);
      first.mutable_grad().clamp_(-1.0, 1.0);
    }
    scaler->step(of_first);
    if (given.has_second) {
      scaler->step(of_second);
    }
    scaler->update();
    CHECK(scaler->get_scale() == expected[0]);
    CHECK(scaler->finite_steps() == static_cast<std::int64_t>(expected[1]));
    for (std::int64_t k = 0; k < 3; ++k) {
      CHECK(first[k].item<double>() == expected[static_cast<std::size_t>(2 + k)]);
    }
    for (std::int64_t k = 0; k < 2; ++k) {
      CHECK(second[k].item<double>() == expected[static_cast<std::size_t>(5 + k)]);
    }
  }
}

/// A trunk and two heads.
struct Pair {
  torch::nn::Linear trunk{nullptr}, a{nullptr}, b{nullptr};
  Pair() {
    torch::manual_seed(3);
    trunk = torch::nn::Linear(3, 4);
    a = torch::nn::Linear(4, 1);
    b = torch::nn::Linear(4, 1);
  }
  std::vector<Tensor> parameters() const {
    std::vector<Tensor> all = trunk->parameters();
    fuller::testing::append(all, a->parameters());
    fuller::testing::append(all, b->parameters());
    return all;
  }
  Tensor loss(fuller::Calibration& calibration, const Tensor& x, double factor_of_b) {
    const auto z = calibration.fork<2>(torch::tanh(trunk(x)));
    return calibration.sum({a(z[0]).pow(2).mean(), (b(z[1]) - 1).pow(2).mean() * factor_of_b});
  }
};

template <class Rule>
void expect_nothing_moved(const Rule& rule) {
  const Tensor x = torch::linspace(-1, 1, 12).view({4, 3});
  const auto train = [&](bool with_bad_step, std::vector<double>& weights) {
    Pair net;
    torch::optim::Adam optimizer(net.parameters(), 0.01);
    fuller::Calibration calibration(rule, {"a", "b"});
    GradScaler scaler;
    for (int s = 0; s < 4; ++s) {
      const bool bad = s == 2;
      if (bad && !with_bad_step) {
        continue;
      }
      optimizer.zero_grad();
      const auto before = fuller::testing::copies_of(net.parameters());
      scaler.scale(net.loss(calibration, x * (s + 1), bad ? INFINITY : 1.0)).backward();
      const bool stepped = scaler.step(optimizer);
      scaler.update();
      CHECK(stepped == !bad);
      CHECK(fuller::testing::equal(before, net.parameters()) == bad);
    }
    CHECK(scaler.get_scale() == (with_bad_step ? 32768 : 65536));
    const auto shown = calibration.diagnostics().weights;
    weights = shown;
    return fuller::testing::copies_of(net.parameters());
  };
  std::vector<double> with;
  std::vector<double> without;
  const auto skipped = train(true, with);
  CHECK(fuller::testing::difference(skipped, train(false, without)) < 1e-6);
  for (std::size_t i = 0; i < 2; ++i) {
    CHECK(with[i] == Approx(without[i]).epsilon(1e-6));
  }
}

TEST_CASE("a step with an infinite gradient is skipped, and no rule's state has moved in it", "[amp]") {
  expect_nothing_moved(fuller::IMTL_G());
  expect_nothing_moved(fuller::GradNorm());
}

TEST_CASE("ranks skip a step together, whichever of them has the gradient that is not finite", "[amp][ranks]") {
  fuller::testing::Meeting meeting(2);
  std::vector<std::vector<int>> stepped(2);
  std::vector<double> scales(2);
  const auto said = fuller::testing::in_threads(2, [&](int rank) {
    GradScalerOptions options;
    options.ranks.count = 2;
    options.ranks.average = [&](std::vector<Tensor>& tensors) { meeting.average(tensors); };
    GradScaler scaler(options);
    const Tensor p = torch::ones({2}).requires_grad_();
    torch::optim::SGD optimizer({p}, 0.1);
    for (int s = 0; s < 3; ++s) {
      const auto scale = scaler.scale(torch::tensor(1.0F));
      p.mutable_grad() = torch::ones({2}) * scale * (s == 1 && rank == 1 ? NAN : 1.0);
      stepped[static_cast<std::size_t>(rank)].push_back(scaler.step(optimizer) ? 1 : 0);
      scaler.update();
    }
    scales[static_cast<std::size_t>(rank)] = scaler.get_scale();
  });
  CHECK(said == std::vector<std::string>{"", ""});
  CHECK(stepped[0] == std::vector<int>{1, 0, 1});
  CHECK(stepped[1] == stepped[0]);
  CHECK(scales == std::vector<double>{32768, 32768});
}

TEST_CASE("weights that two modules share are divided by the scale once", "[amp]") {
  // LibTorch's parameters() lists them for each module, and its optimisers take the list as it is.
  const Tensor tied = torch::ones({2}).requires_grad_();
  const Tensor other = torch::ones({2}).requires_grad_();
  torch::optim::SGD optimizer({tied, other, tied}, 0.1);
  GradScaler scaler;
  scaler.scale((tied.sum() * 3 + other.sum() * 5)).backward();
  scaler.unscale_(optimizer);
  CHECK(tied.grad().equal(torch::full({2}, 3.0)));
  CHECK(other.grad().equal(torch::full({2}, 5.0)));
}

TEST_CASE("a scaler within bounds, one that is off, and one that is set", "[amp]") {
  const Tensor p = torch::ones({1}).requires_grad_();
  torch::optim::SGD optimizer({p}, 0.1);
  const auto step = [&](GradScaler& scaler, double gradient) {
    static_cast<void>(scaler.scale(torch::tensor(1.0F)));
    p.mutable_grad() = torch::full({1}, gradient);
    const bool stepped = scaler.step(optimizer);
    scaler.update();
    return stepped;
  };
  GradScalerOptions bounded;
  bounded.initial = 4;
  bounded.smallest = 2;
  bounded.largest = 8;
  bounded.growth_interval = 1;
  GradScaler scaler(bounded);
  step(scaler, 1);
  CHECK(scaler.get_scale() == 8);
  step(scaler, 1);
  CHECK(scaler.get_scale() == 8);
  for (int k = 0; k < 3; ++k) {
    CHECK(!step(scaler, INFINITY));
  }
  CHECK(scaler.get_scale() == 2);
  scaler.update(16.0);
  CHECK(scaler.get_scale() == 16);

  GradScalerOptions off;
  off.enabled = false;
  GradScaler none(off);
  const Tensor loss = torch::tensor(2.0F);
  CHECK(none.scale(loss).is_same(loss));
  CHECK(step(none, INFINITY));
  CHECK(none.get_scale() == 1);
}

TEST_CASE("a scaler in the wrong order, or with numbers that make no sense, is refused in words", "[amp]") {
  const Tensor p = torch::ones({1}).requires_grad_();
  torch::optim::SGD optimizer({p}, 0.1);
  GradScaler scaler;
  CHECK(contains(thrown_by([&] { scaler.unscale_(optimizer); }), "scaler.scale(loss).backward()"));
  static_cast<void>(scaler.scale(torch::tensor(1.0F)));
  CHECK(contains(thrown_by([&] { scaler.update(); }), "without a step()"));
  CHECK(contains(thrown_by([&] { scaler.step(optimizer); }), "call backward() first"));
  scaler.update();
  p.mutable_grad() = torch::ones({1});
  scaler.unscale_(optimizer);
  CHECK(contains(thrown_by([&] { scaler.unscale_(optimizer); }), "is unscaled already"));
  scaler.step(optimizer);
  CHECK(contains(thrown_by([&] { scaler.unscale_(optimizer); }), "has stepped"));
  CHECK(contains(thrown_by([&] { scaler.step(optimizer); }), "update() once"));
  scaler.update();
  const Tensor half = torch::ones({1}, torch::kHalf).requires_grad_();
  half.mutable_grad() = torch::ones({1}, torch::kHalf);
  torch::optim::SGD of_half({half}, 0.1);
  CHECK(contains(thrown_by([&] { scaler.unscale_(of_half); }), "float16"));
  CHECK(contains(thrown_by([&] { scaler.update(0.0); }), "positive number"));
  GradScalerOptions wrong;
  wrong.growth = 1;
  CHECK(contains(thrown_by([&] { GradScaler refused(wrong); }), "growth must be more than 1"));
  wrong = {};
  wrong.largest = 2;
  CHECK(contains(thrown_by([&] { GradScaler refused(wrong); }), "GradScalerOptions::initial is 65536"));
  // The scale is a float: 1e300 would be infinite there, and 1e-60 zero.
  for (const double scale : {1e300, 1e-60}) {
    wrong = {};
    wrong.initial = scale;
    CHECK(contains(thrown_by([&] { GradScaler refused(wrong); }), "the scale is a float"));
    CHECK(contains(thrown_by([&] { scaler.update(scale); }), "the scale is a float"));
  }
  wrong = {};
  wrong.ranks.count = 2;
  CHECK(contains(thrown_by([&] { GradScaler refused(wrong); }), "GradScalerOptions::ranks.count is 2"));
  wrong.ranks.count = 1;
  wrong.ranks.average = [](std::vector<Tensor>&) {};
  CHECK(contains(thrown_by([&] { GradScaler refused(wrong); }), "GradScalerOptions::ranks.average is given"));
  const std::vector<std::vector<double>> damaged{{0, 0, 0, 0, 0},         {1e300, 0, 2, .5, 2000},  {1e-60, 0, 2, .5, 2000},
                                                 {1024, 1e30, 2, .5, 10}, {1024, 1, 2, .5, 1e30},   {1024, -1, 2, .5, 10},
                                                 {1024, 0, 2, .5, NAN},   {1024, NAN, 2, .5, 2000}, {NAN, 0, 2, .5, 2000}};
  for (const std::vector<double>& numbers : damaged) {
    std::stringstream file;
    torch::serialize::OutputArchive archive;
    archive.write("grad_scaler", torch::tensor(numbers, torch::kDouble));
    archive.save_to(file);
    CHECK(contains(thrown_by([&] { torch::load(scaler, file); }), "can have left"));
  }
  CHECK(scaler.get_scale() == 65536);
}

}  // namespace grad_scaler_test
