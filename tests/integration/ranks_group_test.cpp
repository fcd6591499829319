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

/// A process group as c10d has it: sums in place, when waited for.
class FakeGroup {
 public:
  struct Work {
    std::function<void()> sum;
    void wait() const { sum(); }
  };
  FakeGroup(Meeting& meeting, int rank, int size) : meeting_(meeting), rank_(rank), size_(size) {}
  int getRank() const { return rank_; }
  int getSize() const { return size_; }
  std::shared_ptr<Work> allreduce(Tensors& tensors) {
    if (tensors.size() != 1) {
      throw std::runtime_error("one tensor at a time");  // as Gloo
    }
    bytes.push_back(static_cast<std::int64_t>(tensors.front().nbytes()));
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
    // Two meetings of 2 x 12 numbers, 2 x 3 of the losses, and the fusion weight, 6 x 9; 3 x 3 products, or 3 x 24 weights of the
    // last layer, or 3 gradients of all but the heads.
    const std::int64_t compared = surface == fuller::Surface::representation ? 9
                                  : surface == fuller::Surface::last_shared  ? 3 * 24
                                                                             : 3 * (4 * 4 + 4 * 5 + 10 * 6 + 7 * 4);
    CHECK(told[0] == 8 * (2 * 24 + 6 + 54 + compared));
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
