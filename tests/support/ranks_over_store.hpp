// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ranks, here threads, that meet in a c10d::Store, against one trainer that has what all of them have.

#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <fuller/distributed/ranks.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/networks.hpp"
#include "support/rank_threads.hpp"
#include "support/ranked_network.hpp"

namespace fuller::testing {

inline RanksOptions quick() {
  RanksOptions options;
  options.timeout = std::chrono::seconds(20);
  return options;
}

/// Ranks by a schedule against one trainer with all they have.
inline void expect_ranks_find(const MakesCalibration& make, const CalibrationOptions& options, int size, bool joint,
                              bool partial) {
  const auto schedule = ranked_schedule(size, partial);
  const auto store = c10::make_intrusive<c10d::HashStore>();
  std::vector<RankedTrace> of_ranks(static_cast<std::size_t>(size));
  const auto thrown = in_threads(size, [&](int rank) {
    of_ranks[static_cast<std::size_t>(rank)] =
        ranked_training(make, options, ranks_over(store, rank, size, quick()), torch::kDouble, joint, schedule);
  });
  for (const std::string& words : thrown) {
    REQUIRE(words == "");
  }
  CHECK(store->getNumKeys() == 0);
  const RankedTrace whole = ranked_training(make, options, {}, torch::kDouble, joint, schedule);
  for (const RankedTrace& one : of_ranks) {
    CHECK(one.weights == of_ranks[0].weights);
    CHECK(one.gates == of_ranks[0].gates);
    CHECK(equal(one.gradients, of_ranks[0].gradients));
  }
  CHECK(difference_of(of_ranks[0].weights, whole.weights) < 2e-11);
  CHECK(difference_of(of_ranks[0].gates, whole.gates) < 1e-12);
  CHECK(difference(of_ranks[0].gradients, whole.gradients) < 2e-11);
}

}  // namespace fuller::testing
