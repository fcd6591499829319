// SPDX-License-Identifier: Apache-2.0
// Ranks over whatever has allreduce(), and gradients averaged in buckets, with a group that is a meeting of threads: no transport
// and no header of one is needed.
#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>

#include <torch/torch.h>

#include <fuller/distributed/gradients.hpp>
#include <fuller/distributed/ranks.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/meeting.hpp"
#include "support/rank_threads.hpp"
#include "support/ranked_network.hpp"

namespace ranks_group_test {

using fuller::Calibration;
using fuller::Ranks;
using fuller::testing::contains;
using fuller::testing::in_threads;
using fuller::testing::Meeting;
using fuller::testing::Tensor;
using fuller::testing::Tensors;
using fuller::testing::thrown_by;

/// What one rank's thread has done, in order.
thread_local std::vector<std::string> log;

/// Nothing but a node that notes each backward pass.
struct NotesPasses : torch::autograd::Function<NotesPasses> {
  static Tensor forward(torch::autograd::AutogradContext* /*context*/, const Tensor& x) { return x.clone(); }
  static Tensors backward(torch::autograd::AutogradContext* /*context*/, Tensors gradients) {
    log.emplace_back("pass");
    return gradients;
  }
};

/// A process group as c10d has it: sums in place, when waited for.
class FakeGroup {
 public:
  struct Work {
    std::function<void()> sum;
    void wait() const {
      log.emplace_back("wait");
      sum();
    }
  };
  FakeGroup(Meeting& meeting, int rank, int size) : meeting_(meeting), rank_(rank), size_(size) {}
  int getRank() const { return rank_; }
  int getSize() const { return size_; }
  std::shared_ptr<Work> allreduce(Tensors& tensors) {
    if (tensors.size() != 1) {
      throw std::runtime_error("one tensor at a time");  // as Gloo
    }
    bytes.push_back(static_cast<std::int64_t>(tensors.front().nbytes()));
    log.emplace_back("begin");
    if (fails) {
      throw std::runtime_error("Connection closed by peer");
    }
    return std::make_shared<Work>(Work{[this, tensor = tensors.front()]() mutable {
      Tensors one{tensor};
      meeting_.average(one);
      tensor.mul_(size_);
    }});
  }

  std::vector<std::int64_t> bytes;
  bool fails = false;

 private:
  Meeting& meeting_;
  int rank_;
  int size_;
};

/// CHECK for threads, in which Catch2 has none.
void expect(bool what, const char* words) {
  if (!what) {
    throw std::runtime_error(words);
  }
}

TEST_CASE("a group averages tensors of any types, one reduction for each type", "[ranks]") {
  Meeting meeting(2);
  std::vector<Tensors> of_ranks(2);
  std::vector<std::vector<std::int64_t>> bytes(2);
  const auto said = in_threads(2, [&](int rank) {
    const auto group = std::make_shared<FakeGroup>(meeting, rank, 2);
    const Ranks ranks = fuller::ranks_of(group);
    expect(ranks.count == 2 && ranks.rank == rank, "rank and size are the group's");
    Tensors& mine = of_ranks[static_cast<std::size_t>(rank)];
    mine = {torch::full({2, 3}, 2.0 * rank, torch::kDouble).t(), torch::full({4}, 4.0F * static_cast<float>(rank)),
            torch::tensor(2.0 * rank, torch::kDouble), torch::full({3}, 1.0 + 0.0078125 * rank, torch::kBFloat16)};
    ranks.average(mine);
    bytes[static_cast<std::size_t>(rank)] = group->bytes;
  });
  CHECK(said == std::vector<std::string>{"", ""});
  for (std::size_t r = 0; r < 2; ++r) {
    CHECK(of_ranks[r][0].equal(torch::ones({3, 2}, torch::kDouble)));
    CHECK(of_ranks[r][1].equal(torch::full({4}, 2.0F)));
    CHECK(of_ranks[r][2].item<double>() == 1);
    CHECK(bytes[r] == std::vector<std::int64_t>{7 * 8, 7 * 4});
  }
  CHECK(of_ranks[0][3].equal(of_ranks[1][3]));
}

TEST_CASE("the diagnostics tell the bytes that a step gives to the group", "[ranks]") {
  for (const auto surface : {fuller::Surface::last_shared, fuller::Surface::representation, fuller::Surface::all_shared}) {
    Meeting meeting(2);
    std::vector<std::int64_t> told(2);
    std::vector<std::int64_t> given(2);
    const auto said = in_threads(2, [&](int rank) {
      const auto group = std::make_shared<FakeGroup>(meeting, rank, 2);
      fuller::CalibrationOptions options;
      options.surface = surface;
      options.ranks = fuller::ranks_of(group);
      Calibration calibration(fuller::GradNorm(), {"a", "b", "c"}, options);
      calibration.modalities(fuller::ModalityGate(), {"left", "right"});
      fuller::testing::RankedNetwork net(torch::kDouble, false);
      fuller::testing::RankPart all;
      all.to = 4;
      ranked_step(net, calibration, torch::ones({4, 3}, torch::kDouble), all);
      told[static_cast<std::size_t>(rank)] = calibration.diagnostics().bytes_averaged;
      given[static_cast<std::size_t>(rank)] = std::accumulate(group->bytes.begin(), group->bytes.end(), std::int64_t{0});
    });
    CHECK(said == std::vector<std::string>{"", ""});
    CHECK(told == given);
    // Two meetings of 2 x 15 numbers, 2 x 3 of the losses, and the fusion weight, 6 x 9; 3 x 3 products, or 3 x 24 weights of the
    // last layer, or 3 gradients of all but the heads.
    const std::int64_t compared = surface == fuller::Surface::representation ? 9
                                  : surface == fuller::Surface::last_shared  ? 3 * 24
                                                                             : 3 * (4 * 4 + 4 * 5 + 10 * 6 + 7 * 4);
    CHECK(told[0] == 8 * (2 * 30 + 6 + 54 + compared));
  }
}

TEST_CASE("the gradients of all that is shared travel while the next task's are formed", "[ranks]") {
  Meeting meeting(2);
  std::vector<std::vector<std::string>> done(2);
  std::vector<double> weights(2);
  const auto said = in_threads(2, [&](int rank) {
    fuller::CalibrationOptions options;
    options.surface = fuller::Surface::all_shared;
    options.ranks = fuller::ranks_of(std::make_shared<FakeGroup>(meeting, rank, 2));
    options.ranks.alike = true;  // no meeting
    Calibration calibration(fuller::IMTL_G(), {"a", "b", "c"}, options);
    const Tensor w = torch::ones({2}, torch::kDouble).requires_grad_();
    const Tensor factors = torch::tensor({1.0 + rank, 3.0 - rank}, torch::kDouble);
    const auto [a, b, c] = calibration.fork<3>(NotesPasses::apply(w * factors));
    log.clear();
    calibration.sum({a.sum() * 2, b[0] + 0 * b[1], c[1] + 0 * c[0]}).backward();
    done[static_cast<std::size_t>(rank)] = log;
    weights[static_cast<std::size_t>(rank)] = calibration.diagnostics().weights[0];
  });
  CHECK(said == std::vector<std::string>{"", ""});
  const std::vector<std::string> in_turn{"pass", "begin", "pass", "begin", "pass", "begin", "wait", "wait", "wait", "pass"};
  CHECK(done[0] == in_turn);  // the last pass is the one that trains: the node is not LibTorch's own
  CHECK(done[1] == in_turn);
  CHECK(weights[0] == weights[1]);
}

TEST_CASE("a wide linear layer is compared over ranks by its rows, as in the one big batch", "[ranks]") {
  constexpr std::int64_t inputs = 40, outputs = 30;
  torch::manual_seed(3);
  const Tensor x = torch::randn({4, inputs}, torch::kDouble);
  const Tensor start = torch::randn({outputs, inputs}, torch::kDouble);
  const Tensor of_a = torch::randn({outputs}, torch::kDouble), of_b = torch::randn({outputs}, torch::kDouble) * 20;
  const auto loss = [](const Tensor& z, const Tensor& head) { return z.mv(head).pow(2).mean(); };

  // The whole batch, of which the last sample has no label of b.
  const Tensor w = start.clone().requires_grad_();
  Calibration whole(fuller::IMTL_G(), {"a", "b"});
  const auto [z_a, z_b] = whole.fork<2>(torch::linear(x, w));
  whole.sum({loss(z_a, of_a), loss(z_b.slice(0, 0, 3), of_b) * 0.75}).backward();
  const fuller::Diagnostics expected = whole.diagnostics();

  // Rank 0 has three samples, rank 1 the last one, and a third, where there is one, idles. Ranks that are alike do not meet, so
  // they form the weight's gradients; their sums have the same factor.
  struct Case {
    int ranks;
    bool alike;
    std::int64_t numbers;
  };
  for (const Case& one : {Case{2, false, 2 * 15 + 4 * (inputs + 2 * outputs)},
                          Case{3, false, 3 * 15 + 4 * (inputs + 2 * outputs)}, Case{2, true, 2 * inputs * outputs}}) {
    INFO(one.ranks << " ranks" << (one.alike ? ", alike" : ""));
    Meeting meeting(one.ranks);
    std::vector<fuller::Diagnostics> found(static_cast<std::size_t>(one.ranks));
    Tensors gradients(found.size());
    const auto said = in_threads(one.ranks, [&](int rank) {
      fuller::CalibrationOptions options;
      options.ranks = fuller::ranks_of(std::make_shared<FakeGroup>(meeting, rank, one.ranks));
      options.ranks.alike = one.alike;
      Calibration calibration(fuller::IMTL_G(), {"a", "b"}, options);
      const Tensor mine = start.clone().requires_grad_();
      if (rank == 2) {
        calibration.idle_step();
      } else {
        const Tensor part = rank == 0 ? x.slice(0, 0, 3) : x.slice(0, 3, 4);
        const auto [a, b] = calibration.fork<2>(torch::linear(part, mine));
        const Tensor of_rank_1 = one.alike ? b.sum() * 0 : Tensor();
        const double share = static_cast<double>(part.size(0)) * one.ranks / 4;
        const double in_losses = one.alike ? share : 1;
        const Tensor b_loss = rank == 0 ? loss(b, of_b) * in_losses : of_rank_1;
        (calibration.sum({loss(a, of_a) * in_losses, b_loss}) * (share / in_losses)).backward();
      }
      const auto place = static_cast<std::size_t>(rank);
      found[place] = calibration.diagnostics();
      gradients[place] = mine.grad().defined() ? mine.grad() : torch::zeros_like(start);
    });
    CHECK(said == std::vector<std::string>(found.size()));
    CHECK(torch::allclose(torch::stack(gradients).mean(0), w.grad(), 1e-12, 1e-12));
    for (const fuller::Diagnostics& of_rank : found) {
      CHECK(of_rank.weights == found[0].weights);
      for (std::size_t i = 0; i < 2; ++i) {
        CHECK(of_rank.weights[i] == Approx(expected.weights[i]).epsilon(1e-12));
        CHECK(of_rank.norms[i] == Approx(expected.norms[i]).epsilon(1e-12));
      }
      CHECK(of_rank.bytes_averaged == 8 * one.numbers);
    }
  }
}

TEST_CASE("a group that fails is a message with rank, step, reduction and its own words", "[ranks]") {
  Meeting meeting(2);
  const auto group = std::make_shared<FakeGroup>(meeting, 1, 2);
  group->fails = true;
  fuller::CalibrationOptions options;
  options.ranks = fuller::ranks_of(group);
  Calibration calibration(fuller::IMTL_G(), {"a", "b", "c"}, options);
  calibration.modalities(fuller::ModalityGate(), {"left", "right"});
  fuller::testing::RankedNetwork net(torch::kDouble, false);
  fuller::testing::RankPart all;
  all.to = 4;
  const std::string said = thrown_by([&] { ranked_step(net, calibration, torch::ones({4, 3}, torch::kDouble), all); });
  INFO(said);
  CHECK(contains(said, "rank 1 of 2: in step 0 the average of what the ranks are about to do over the ranks failed"));
  CHECK(contains(said, "Connection closed by peer"));
}

TEST_CASE("gradients are averaged in buckets, and a parameter that no rank has used keeps none", "[ranks]") {
  Meeting meeting(2);
  std::vector<Tensors> of_ranks(2);
  std::vector<std::vector<std::int64_t>> bytes(2);
  for (const bool by_group : {true, false}) {
    const auto said = in_threads(2, [&](int rank) {
      const auto group = std::make_shared<FakeGroup>(meeting, rank, 2);
      Tensors parameters;
      for (int k = 0; k < 6; ++k) {
        parameters.push_back(torch::zeros({4}, k == 3 ? torch::kDouble : torch::kFloat).requires_grad_());
        if (k != 4 && !(k == 1 && rank == 1)) {  // the fifth on no rank, the second on rank 0 alone
          parameters.back().mutable_grad() =
              torch::full({4}, 2.0 * k * (rank + 1), parameters.back().options().requires_grad(false));
        }
      }
      const Tensor kept = parameters[0].grad();
      fuller::BucketOptions options;
      options.bytes = 32;  // two of floats, one of doubles
      if (by_group) {
        fuller::average_gradients(group, parameters, options);
      } else {
        fuller::average_gradients(fuller::ranks_of(group), parameters, options);
      }
      expect(kept.is_same(parameters[0].grad()), "gradients are written in place");
      Tensors& mine = of_ranks[static_cast<std::size_t>(rank)];
      mine.clear();
      for (const Tensor& parameter : parameters) {
        mine.push_back(parameter.grad());
      }
      bytes[static_cast<std::size_t>(rank)] = group->bytes;
    });
    CHECK(said == std::vector<std::string>{"", ""});
    for (std::size_t r = 0; r < 2; ++r) {
      for (const int k : {0, 2, 3, 5}) {
        CHECK(of_ranks[r][static_cast<std::size_t>(k)].eq(3.0 * k).all().item<bool>());
      }
      CHECK(of_ranks[r][1].eq(1).all().item<bool>());  // 2 on rank 0, nothing on rank 1
      CHECK(!of_ranks[r][4].defined());
      auto sorted = bytes[r];
      std::sort(sorted.begin(), sorted.end());
      CHECK(sorted == std::vector<std::int64_t>{24, 32, 32, 32});
    }
  }
  fuller::BucketOptions none;
  none.bytes = 0;
  CHECK(contains(thrown_by([&] { fuller::average_gradients(Ranks(), {}, none); }), "BucketOptions::bytes is 0"));
}

}  // namespace ranks_group_test
