// SPDX-License-Identifier: Apache-2.0
// Data-parallel training: two ranks, each with half of the batch and a replica of its own, find the weights of the whole batch,
// and after the usual average of `.grad` its gradients. Ranks are threads, and the average is a barrier with a sum.
#include <mutex>
#include <thread>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/meeting.hpp"

namespace {

using torch::Tensor;
using Tensors = std::vector<torch::Tensor>;
using fuller::testing::Meeting;

constexpr int ranks = 2;

/// Two branches, a fusion layer, a shared layer, two heads; every replica starts alike.
struct Network {
  Network() {
    static std::mutex one_at_a_time;  // the generator belongs to the process
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    torch::manual_seed(11);
    left = torch::nn::Conv2d(2, 3, 3);
    right = torch::nn::Conv2d(2, 5, 3);
    fuse = torch::nn::Conv2d(8, 6, 3);
    last = torch::nn::Conv2d(6, 4, 1);
    head_a = torch::nn::Conv2d(4, 2, 1);
    head_b = torch::nn::Conv2d(4, 1, 1);
    for (auto layer : {left, right, fuse, last, head_a, head_b}) {
      layer->to(torch::kDouble);
      parameters.insert(parameters.end(), {layer->weight, layer->bias});
    }
  }
  torch::nn::Conv2d left{nullptr}, right{nullptr}, fuse{nullptr}, last{nullptr}, head_a{nullptr}, head_b{nullptr};
  Tensors parameters;
};

/// Which tasks a batch of samples has labels for, and how much its mean counts in the whole.
struct Labels {
  bool b = true;
  double share_of_b = 1;
};

/// One calibrated step; leaves gradients in the network.
void step(Network& net, fuller::Calibration& calibration, const Tensor& x, const Labels& labels) {
  const auto [left, right] =
      calibration.gate<2>({torch::tanh(net.left->forward(x)), torch::tanh(net.right->forward(3 * x))}, net.fuse->weight);
  const Tensor z = torch::tanh(net.last->forward(torch::tanh(net.fuse->forward(torch::cat({left, right}, 1)))));
  const auto [z_a, z_b] = calibration.fork<2>(z);
  const Tensor loss_a = net.head_a->forward(z_a).pow(2).mean();
  const Tensor loss_b =
      7 * labels.share_of_b * (net.head_b->forward(z_b) - x.mean(1, true).slice(2, 2, -2).slice(3, 2, -2)).pow(2).mean();
  calibration.sum({loss_a, labels.b ? loss_b : Tensor()}).backward();
}

struct Outcome {
  std::vector<Tensors> gradients;                ///< of each step, averaged over ranks
  std::vector<fuller::Diagnostics> diagnostics;  ///< of each step, rank 0's
};

/// Two steps with SGD between them.
template <class Rule>
Outcome run(const Rule& rule, fuller::CalibrationOptions options, int rank, Meeting* meeting, const Tensors& batches,
            const Labels& labels) {
  Network net;
  if (meeting != nullptr) {
    options.ranks.count = ranks;
    options.ranks.average = [meeting](Tensors& tensors) { meeting->average(tensors); };
  }
  fuller::Calibration calibration(rule, {"a", "b"}, options);
  calibration.modalities(fuller::ModalityGate(), {"left", "right"});
  Outcome outcome;
  for (const Tensor& batch : batches) {
    for (const Tensor& parameter : net.parameters) {
      parameter.mutable_grad() = Tensor();
    }
    const std::int64_t half = batch.size(0) / ranks;
    step(net, calibration, meeting == nullptr ? batch : batch.slice(0, rank * half, (rank + 1) * half), labels);
    Tensors gradients;
    for (const Tensor& parameter : net.parameters) {
      gradients.push_back(parameter.grad().defined() ? parameter.grad() : torch::zeros_like(parameter));
    }
    if (meeting != nullptr) {
      meeting->average(gradients);
    }
    const torch::NoGradGuard no_grad;
    for (std::size_t k = 0; k < gradients.size(); ++k) {
      net.parameters[k].sub_(0.1 * gradients[k]);
    }
    outcome.gradients.push_back(gradients);
    outcome.diagnostics.push_back(calibration.diagnostics());
  }
  return outcome;
}

/// Runs both ranks; fails where they disagree.
template <class Rule>
Outcome run_ranks(const Rule& rule, const fuller::CalibrationOptions& options, const Tensors& batches, const Labels& of_rank_0,
                  const Labels& of_rank_1) {
  Meeting meeting(ranks);
  std::vector<Outcome> outcomes(ranks);
  std::thread other([&] { outcomes[1] = run(rule, options, 1, &meeting, batches, of_rank_1); });
  outcomes[0] = run(rule, options, 0, &meeting, batches, of_rank_0);
  other.join();
  for (std::size_t k = 0; k < batches.size(); ++k) {
    CHECK(outcomes[0].diagnostics[k].weights == outcomes[1].diagnostics[k].weights);
    CHECK(outcomes[0].diagnostics[k].gates == outcomes[1].diagnostics[k].gates);
  }
  return outcomes[0];
}

void expect_equal(const Outcome& mine, const Outcome& whole) {
  for (std::size_t k = 0; k < whole.gradients.size(); ++k) {
    INFO("step " << k);
    for (std::size_t i = 0; i < 2; ++i) {
      CHECK(mine.diagnostics[k].weights[i] == Approx(whole.diagnostics[k].weights[i]).epsilon(1e-10));
      CHECK(mine.diagnostics[k].gates[i] == Approx(whole.diagnostics[k].gates[i]).epsilon(1e-10));
    }
    for (std::size_t p = 0; p < whole.gradients[k].size(); ++p) {
      const double off = (mine.gradients[k][p] - whole.gradients[k][p]).norm().template item<double>();
      CHECK(off <= 1e-10 * whole.gradients[k][p].norm().template item<double>());
    }
  }
}

Tensors two_batches() {
  torch::manual_seed(12);
  return {torch::randn({6, 2, 9, 9}, torch::kDouble), torch::randn({6, 2, 9, 9}, torch::kDouble)};
}

template <class Rule>
void expect_whole_batch(const Rule& rule, const fuller::CalibrationOptions& options) {
  const Tensors batches = two_batches();
  expect_equal(run_ranks(rule, options, batches, {}, {}), run(rule, options, 0, nullptr, batches, {}));
}

TEST_CASE("ranks find the weights and gates of the one big batch", "[ranks]") {
  SECTION("IMTL-G at the last shared layer") { expect_whole_batch(fuller::IMTL_G(), {}); }
  SECTION("IMTL-G at the representation, whose Gram matrices add up") {
    fuller::CalibrationOptions options;
    options.surface = fuller::Surface::representation;
    expect_whole_batch(fuller::IMTL_G(), options);
  }
  SECTION("GradNorm, which needs losses and the gradients' true length") {
    expect_whole_batch(fuller::GradNorm(), {});
    fuller::CalibrationOptions options;
    options.surface = fuller::Surface::representation;
    expect_whole_batch(fuller::GradNorm(), options);
  }
  SECTION("PCGrad over all shared parameters") { expect_whole_batch(fuller::PCGrad(), {}); }
}

TEST_CASE("a task that one rank alone has labels for is that of half the batch", "[ranks]") {
  const Tensors batches = two_batches();
  Labels none;
  none.b = false;
  const Outcome mine = run_ranks(fuller::IMTL_G(), {}, batches, {}, none);
  // The mean over ranks counts nothing for rank 1: half of the loss of the first half.
  fuller::Calibration calibration(fuller::IMTL_G(), {"a", "b"});
  calibration.modalities(fuller::ModalityGate(), {"left", "right"});
  Network net;
  const Tensor x = batches.front();
  const auto [left, right] =
      calibration.gate<2>({torch::tanh(net.left->forward(x)), torch::tanh(net.right->forward(3 * x))}, net.fuse->weight);
  const Tensor z = torch::tanh(net.last->forward(torch::tanh(net.fuse->forward(torch::cat({left, right}, 1)))));
  const auto [z_a, z_b] = calibration.fork<2>(z);
  const Tensor error = net.head_b->forward(z_b) - x.mean(1, true).slice(2, 2, -2).slice(3, 2, -2);
  calibration.sum({net.head_a->forward(z_a).pow(2).mean(), 7 * error.slice(0, 0, 3).pow(2).mean() / 2}).backward();
  const auto whole = calibration.diagnostics();
  CHECK(mine.diagnostics[0].weights[0] == Approx(whole.weights[0]).epsilon(1e-10));
  CHECK(mine.diagnostics[0].weights[1] == Approx(whole.weights[1]).epsilon(1e-10));
  for (std::size_t p = 0; p < net.parameters.size(); ++p) {
    INFO("parameter " << p);
    const double off = (mine.gradients[0][p] - net.parameters[p].grad()).norm().item<double>();
    CHECK(off <= 1e-10 * net.parameters[p].grad().norm().item<double>());
  }
}

/// Losses of one decoder, so that weights are chosen at the sum.
struct Decoder {
  torch::nn::Linear trunk{nullptr}, decoder{nullptr}, a{nullptr}, b{nullptr};
  Decoder() {
    torch::manual_seed(21);
    trunk = torch::nn::Linear(3, 5);
    decoder = torch::nn::Linear(5, 5);
    a = torch::nn::Linear(5, 1);
    b = torch::nn::Linear(5, 1);
    for (auto layer : {trunk, decoder, a, b}) {
      layer->to(torch::kDouble);
    }
  }
  void step(fuller::Calibration& calibration, const Tensor& x, bool with_b) {
    const Tensor features = torch::tanh(decoder(torch::tanh(trunk(x))));
    calibration.sum({a(features).pow(2).mean(), with_b ? -3 * b(features).sin().mean() : Tensor()}).backward();
  }
};

TEST_CASE("ranks whose losses share a decoder compare the same parameters, whichever tasks each has", "[ranks]") {
  std::vector<Decoder> nets(ranks);  // one after the other: the generator belongs to the process
  const Tensor x = torch::randn({4, 3}, torch::kDouble);
  Meeting meeting(ranks);
  std::vector<std::vector<double>> weights(ranks);
  const auto run_rank = [&](int rank) {
    fuller::CalibrationOptions options;
    options.surface = fuller::Surface::all_shared;
    options.ranks.count = ranks;
    options.ranks.average = [&](Tensors& tensors) { meeting.average(tensors); };
    fuller::Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
    Decoder& net = nets[static_cast<std::size_t>(rank)];
    net.step(calibration, x, true);
    net.step(calibration, x, rank == 0);
    weights[static_cast<std::size_t>(rank)] = calibration.diagnostics().weights;
  };
  std::thread other([&] { run_rank(1); });
  run_rank(0);
  other.join();
  CHECK(weights[0] == weights[1]);
  // The same batch on both ranks, of which one has b: half of its gradient.
  fuller::CalibrationOptions options;
  options.surface = fuller::Surface::all_shared;
  fuller::Calibration whole(fuller::IMTL_G(), {"a", "b"}, options);
  Decoder net;
  const Tensor features = torch::tanh(net.decoder(torch::tanh(net.trunk(x))));
  whole.sum({net.a(features).pow(2).mean(), -3 * net.b(features).sin().mean() / 2}).backward();
  CHECK(weights[0][0] == Approx(whole.diagnostics().weights[0]).epsilon(1e-10));

  options.ranks.count = ranks;
  options.ranks.average = [](Tensors&) {};
  fuller::Calibration early(fuller::IMTL_G(), {"a", "b"}, options);
  CHECK(fuller::testing::contains(fuller::testing::thrown_by([&] { net.step(early, x, false); }),
                                  "needs the loss of every task on every rank"));
  const auto [z_a, z_b] = early.fork<2>(torch::tanh(net.trunk(x)));
  const Tensor behind_fork = net.a(z_a).pow(2).mean();
  CHECK(fuller::testing::contains(fuller::testing::thrown_by([&] {
                                    early.sum({behind_fork, Tensor()});
                                  }),
                                  "needs the loss of every task on every rank"));
}

}  // namespace
