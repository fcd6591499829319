// SPDX-License-Identifier: Apache-2.0
// Ranks that meet in a c10d::Store: each with what it happens to have, or nothing, they find the weights, gates and gradients of
// one trainer with all samples; and what cannot go together is refused on all of them. Ranks are threads here, over a HashStore.
#include <random>

#include <torch/torch.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <fuller/distributed/ranks.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/rank_threads.hpp"
#include "support/ranked_network.hpp"
#include "support/ranks_over_store.hpp"
#include "support/steps.hpp"

namespace ranks_over_test {

using fuller::ApplyTo;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Ranks;
using fuller::RanksOptions;
using fuller::Surface;
using fuller::testing::contains;
using fuller::testing::difference;
using fuller::testing::equal;
using fuller::testing::expect_ranks_find;
using fuller::testing::in_threads;
using fuller::testing::quick;
using fuller::testing::ranked_schedule;
using fuller::testing::ranked_tasks;
using fuller::testing::ranked_training;
using fuller::testing::RankedNetwork;
using fuller::testing::RankedTrace;
using fuller::testing::RankPart;
using fuller::testing::Tensor;
using fuller::testing::Tensors;

using Store = c10::intrusive_ptr<c10d::HashStore>;

const std::vector<std::string> names{"a", "b", "c"};

TEST_CASE("ranks with what each has find the weights, gates and gradients of the one big batch", "[ranks]") {
  fuller::testing::for_rules_of_every_kind(ranked_tasks, [&](const auto& rule) {
    const bool reads_losses = std::decay_t<decltype(rule)>::needs.losses;
    const auto make = [&](CalibrationOptions options) { return Calibration(rule, names, std::move(options)); };
    for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
      INFO(std::decay_t<decltype(rule)>::name << " at surface " << static_cast<int>(surface));
      CalibrationOptions options;
      options.surface = surface;
      // A loss of a task that one rank alone has is that rank's mean, while the gradients' mean counts the others with 0.
      expect_ranks_find(make, options, surface == Surface::last_shared ? 3 : 2, false, !reads_losses);
    }
  });
}

TEST_CASE("ranks whose weights are chosen at the losses, or whose heads are not weighted, likewise", "[ranks]") {
  CalibrationOptions options;
  options.surface = Surface::all_shared;
  const auto make = [](CalibrationOptions with) { return Calibration(fuller::IMTL_G(), names, std::move(with)); };
  expect_ranks_find(make, options, 3, true, true);
  options.apply_to = ApplyTo::shared_only;
  expect_ranks_find(make, options, 2, true, true);
  options.surface = Surface::last_shared;
  expect_ranks_find(make, options, 2, false, true);
}

TEST_CASE("ranks whose rule is asked in every other step, and whose weights are drawn towards new ones, likewise", "[ranks]") {
  for (const Surface surface : {Surface::last_shared, Surface::representation, Surface::all_shared}) {
    for (const bool joint : {false, true}) {
      if (!joint || surface == Surface::all_shared) {
        CalibrationOptions options;
        options.surface = surface;
        options.every = 2;
        options.smoothing = 0.5;
        const auto with = [](const auto& rule) {
          return [rule](CalibrationOptions all) { return Calibration(rule, names, std::move(all)); };
        };
        expect_ranks_find(with(fuller::IMTL_G()), options, 3, joint, true);
        expect_ranks_find(with(fuller::GradNorm()), options, 2, joint, false);
      }
    }
  }
}

TEST_CASE("whatever each of four ranks happens to have, all agree bit for bit after each of 1000 steps", "[ranks]") {
  constexpr int size = 4;
  constexpr int steps = 1000;
  std::mt19937_64 random(5);
  std::vector<std::vector<RankPart>> schedule(steps, std::vector<RankPart>(size));
  for (auto& parts : schedule) {
    for (std::size_t r = 0; r < size; ++r) {
      RankPart& part = parts[r];
      part.from = static_cast<std::int64_t>(3 * r);
      part.to = part.from + static_cast<std::int64_t>(random() % 4);
      part.share = static_cast<double>(part.to - part.from) / 3;
      for (std::size_t i = 0; i < ranked_tasks; ++i) {
        part.tasks[i] = random() % 3 != 0;
      }
      part.right = random() % 4 != 0;
      if (part.tasks == std::vector<bool>(ranked_tasks, false)) {
        part.to = part.from;  // all tasks absent: nothing to go backward from
      }
    }
  }
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::vector<RankedTrace> traces(size);
  const auto thrown = in_threads(size, [&](int rank) {
    RankedNetwork net(torch::kDouble, false);
    CalibrationOptions options;
    options.ranks = fuller::ranks_over(store, rank, size, quick());
    Calibration calibration(fuller::GradNorm(), names, options);
    calibration.modalities(fuller::ModalityGate(), {"left", "right"});
    const Tensor batch = torch::linspace(-2, 2, 36, torch::kDouble).view({12, 3});
    RankedTrace& trace = traces[static_cast<std::size_t>(rank)];
    for (const auto& parts : schedule) {
      fuller::testing::clear(net.parameters);
      ranked_step(net, calibration, batch, parts[static_cast<std::size_t>(rank)]);
      const auto shown = calibration.diagnostics();
      trace.weights.insert(trace.weights.end(), shown.weights.begin(), shown.weights.end());
      trace.gates.insert(trace.gates.end(), shown.gates.begin(), shown.gates.end());
    }
    trace.weights.push_back(static_cast<double>(calibration.steps()));
  });
  for (std::size_t r = 0; r < size; ++r) {
    INFO(thrown[r]);
    REQUIRE(thrown[r] == "");
    REQUIRE(traces[r].weights.size() == 3 * steps + 1);
    CHECK(traces[r].weights == traces[0].weights);
    CHECK(traces[r].gates == traces[0].gates);
  }
  // All idle, which is no step, comes about once in 500 such schedules; gates have moved.
  CHECK(traces[0].weights.back() > steps - 20);
  CHECK(traces[0].gates.back() != 1);
}

/// Two ranks: a step that both take, then what f has each do. What each threw.
std::vector<std::string> said_by_two(const std::function<void(int, RankedNetwork&, Calibration&, const Tensor&)>& f,
                                     bool joint = false, std::chrono::milliseconds timeout = std::chrono::seconds(20)) {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  return in_threads(2, [&](int rank) {
    RankedNetwork net(torch::kDouble, joint);
    CalibrationOptions options;
    options.surface = joint ? Surface::all_shared : Surface::last_shared;
    RanksOptions how;
    how.timeout = timeout;
    options.ranks = fuller::ranks_over(store, rank, 2, how);
    Calibration calibration(fuller::IMTL_G(), names, options);
    calibration.modalities(fuller::ModalityGate(), {"left", "right"});
    const Tensor batch = torch::linspace(-2, 2, 36, torch::kDouble).view({12, 3});
    RankPart all;
    all.to = 12;
    ranked_step(net, calibration, batch, all);
    f(rank, net, calibration, batch);
  });
}

void expect_words(const std::string& words, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    INFO(words << "\nlacks: " << part);
    CHECK(contains(words, part));
  }
}

TEST_CASE("what ranks cannot do together is refused on each, with rank, step and task", "[ranks]") {
  RankPart all;
  all.to = 12;
  RankPart without_b = all;
  without_b.tasks[1] = false;
  SECTION("one has taken more steps") {
    const auto said = said_by_two([&](int rank, RankedNetwork& net, Calibration& calibration, const Tensor& batch) {
      if (rank == 1) {
        RankedNetwork other(torch::kDouble, false);
        Calibration alone(fuller::IMTL_G(), names);
        alone.modalities(fuller::ModalityGate(), {"left", "right"});
        for (int k = 0; k < 3; ++k) {
          ranked_step(other, alone, batch, all);
        }
        std::stringstream file;
        torch::save(alone, file);
        torch::load(calibration, file);
      }
      ranked_step(net, calibration, batch, without_b);
    });
    for (const std::string& words : said) {
      expect_words(words, {"rank 0 weighs 'a', 'c' at fork() in step 1", "rank 1 weighs 'a', 'c' at fork() in step 3",
                           "has taken more steps"});
    }
    expect_words(said[1], {"rank 1 of 2: the ranks cannot take step 3 together"});
  }
  SECTION("one passes its gate without the sum") {
    const auto said = said_by_two(
        [&](int rank, RankedNetwork& net, Calibration& calibration, const Tensor& batch) {
          if (rank == 1) {
            net.errors(calibration, batch, torch::ones({12, 1}, torch::kDouble))[0].mean().backward();
          } else {
            ranked_step(net, calibration, batch, all);
          }
        },
        /*joint=*/true);
    for (const std::string& words : said) {
      expect_words(words, {"rank 0 weighs 'a', 'b', 'c' at sum() in step 1",
                           "rank 1 is at its gate(), with 'left', 'right' in step 1", "another order"});
    }
  }
  SECTION("one refuses for a reason of its own") {
    const auto said = said_by_two([&](int rank, RankedNetwork& net, Calibration& calibration, const Tensor& batch) {
      if (rank == 1) {  // a loss that reads no output of fork()
        calibration.sum({net.parameters[0].sum(), Tensor(), Tensor()});
      } else {
        ranked_step(net, calibration, batch, all);
      }
    });
    expect_words(said[0], {"rank 1 has refused", "in step 1", "a rank that has refused says why"});
    expect_words(said[1], {"depends on an output of fork()"});
  }
  SECTION("they compare other parameters") {
    const auto said = said_by_two([&](int rank, RankedNetwork&, Calibration& calibration, const Tensor& batch) {
      torch::nn::Linear trunk(3, rank == 0 ? 4 : 5);
      trunk->to(torch::kDouble);
      const auto z = calibration.fork<3>(trunk(batch), {trunk->weight});
      calibration.sum({z[0].sum(), z[1].pow(2).sum(), z[2].exp().sum()}).backward();
    });
    for (const std::string& words : said) {
      expect_words(words, {"other parameters", "rank 0 weighs 'a', 'b', 'c' at fork() in step 1"});
    }
  }
  SECTION("one does not come, and is named") {
    const auto said = said_by_two(
        [&](int rank, RankedNetwork& net, Calibration& calibration, const Tensor& batch) {
          if (rank == 0) {
            ranked_step(net, calibration, batch, all);
          }
        },
        false, std::chrono::seconds(2));
    CHECK(said[1] == "");
    expect_words(said[0], {"rank 0 of 2: in step 1", "what the ranks are about to do", "rank 1 did not come within 2000 ms"});
  }
}

TEST_CASE("calibrations of ranks that were made differently refuse each other at once", "[ranks]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  const auto said = in_threads(2, [&](int rank) {
    RankedNetwork net(torch::kDouble, false);
    CalibrationOptions options;
    options.ranks = fuller::ranks_over(store, rank, 2, quick());
    options.surface = rank == 0 ? Surface::last_shared : Surface::representation;
    Calibration calibration(fuller::IMTL_G(), names, options);
    calibration.modalities(fuller::ModalityGate(), {"left", "right"});
    RankPart all;
    all.to = 4;
    ranked_step(net, calibration, torch::ones({4, 3}, torch::kDouble), all);
  });
  expect_words(said[0], {"calibrations differ in tasks, rule or options"});
  expect_words(said[1], {"calibrations differ in tasks, rule or options"});
}

TEST_CASE("what has no sense alone is refused", "[ranks]") {
  Calibration alone(fuller::IMTL_G(), names);
  expect_words(fuller::testing::thrown_by([&] { alone.idle_step(); }), {"alone", "options.ranks"});
  CalibrationOptions by_hand;
  by_hand.ranks.count = 2;
  by_hand.ranks.average = [](Tensors&) {};
  Calibration without_rank(fuller::IMTL_G(), names, by_hand);
  expect_words(fuller::testing::thrown_by([&] { without_rank.idle_step(); }), {"options.ranks.rank", "ranks_over()"});
  by_hand.ranks.rank = 2;
  expect_words(fuller::testing::thrown_by([&] { Calibration(fuller::IMTL_G(), names, by_hand); }), {"options.ranks.rank is 2"});
  const auto store = c10::make_intrusive<c10d::HashStore>();
  expect_words(fuller::testing::thrown_by([&] { fuller::ranks_over(store, 3, 3); }), {"rank 3 of 3"});
  const Ranks one = fuller::ranks_over(store, 0, 1);
  CHECK(one.count == 1);
  CHECK(!one.average);
}

TEST_CASE("a reduction over a store takes any types and shapes, and keeps no key", "[ranks]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::vector<Tensors> of_ranks(3);
  const auto said = in_threads(3, [&](int rank) {
    const Ranks ranks = fuller::ranks_over(store, rank, 3, quick());
    Tensors& mine = of_ranks[static_cast<std::size_t>(rank)];
    for (int round = 0; round < 3; ++round) {
      mine = {torch::full({2, 3}, 3.0 * rank, torch::kDouble).t(), torch::tensor(static_cast<float>(rank)), torch::empty({0}),
              torch::full({2}, rank, torch::kBFloat16)};
      ranks.average(mine);
    }
  });
  for (std::size_t r = 0; r < 3; ++r) {
    REQUIRE(said[r] == "");
    CHECK(of_ranks[r][0].equal(torch::full({3, 2}, 3.0, torch::kDouble)));
    CHECK(of_ranks[r][1].item<float>() == 1);
    CHECK(of_ranks[r][3].equal(torch::ones({2}, torch::kBFloat16)));
  }
  CHECK(store->getNumKeys() == 0);
  const auto apart = in_threads(2, [&](int rank) {
    Tensors tensors{torch::zeros({rank == 0 ? 2 : 3})};
    fuller::ranks_over(store, rank, 2, quick()).average(tensors);
  });
  expect_words(apart[0], {"rank 1 reduces other tensors than rank 0"});
  expect_words(apart[1], {"rank 0 reduces other tensors than rank 1"});
}

TEST_CASE("a name in a store is one user's at a time, on each rank", "[ranks]") {
  const auto store = c10::make_intrusive<c10d::HashStore>();
  {
    const Ranks first = fuller::ranks_over(store, 0, 2, quick());
    // Both would write "fuller/1/0" and read what the other's rank 1 wrote.
    expect_words(fuller::testing::thrown_by([&] { fuller::ranks_over(store, 0, 2, quick()); }),
                 {"'fuller' a second time on rank 0", "RanksOptions::name", "FileStore"});
    RanksOptions other = quick();
    other.name = "scaler";
    CHECK(fuller::testing::thrown_by([&] { fuller::ranks_over(store, 0, 2, other); }).empty());
    CHECK(fuller::testing::thrown_by([&] { fuller::ranks_over(store, 1, 2, quick()); }).empty());
  }
  CHECK(store->getNumKeys() == 0);
  CHECK(fuller::testing::thrown_by([&] { fuller::ranks_over(store, 0, 2, quick()); }).empty());
  // What a run that was killed has left in a file is not read as this run's.
  store->add("fuller/user/0", 1);
  store->set("fuller/1/1", std::vector<std::uint8_t>(3));
  CHECK(contains(fuller::testing::thrown_by([&] { fuller::ranks_over(store, 0, 2, quick()); }), "was ended has left it there"));
}

}  // namespace ranks_over_test
