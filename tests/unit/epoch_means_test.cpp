// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <vector>

#include <fuller/core/epoch_means.hpp>
#include <fuller/core/lanes.hpp>

#include "support/catch.hpp"

namespace {

struct Watch {
  std::vector<double> state = std::vector<double>(fuller::detail::EpochMeans::size(2));
  fuller::detail::EpochMeans means{2, state.data()};

  Watch() { fuller::detail::EpochMeans::initialise(2, state.data()); }

  void see(std::int64_t epoch, std::vector<double> losses, std::vector<std::uint8_t> present = {1, 1}) {
    fuller::Evidence<> evidence;
    evidence.count = 2;
    evidence.losses = losses.data();
    evidence.present = present.data();
    evidence.epoch = epoch;
    means.observe(fuller::Serial{}, evidence);
  }
};

}  // namespace

TEST_CASE("an epoch's mean is known from the first step of the next") {
  Watch watch;
  watch.see(0, {1, 10});
  watch.see(0, {3, 20});
  CHECK(watch.means.known(0) == 0);
  watch.see(1, {100, 100});
  CHECK(watch.means.known(0) == 1);
  CHECK(watch.means.latest(0) == 2);
  CHECK(watch.means.latest(1) == 15);
  watch.see(1, {200, 300});
  CHECK(watch.means.latest(0) == 2);
  watch.see(2, {0, 0});
  CHECK(watch.means.known(0) == 2);
  CHECK(watch.means.latest(0) == 150);
  CHECK(watch.means.previous(0) == 2);
  CHECK(watch.means.latest(1) == 200);
  CHECK(watch.means.previous(1) == 15);
}

TEST_CASE("the first epoch may have any number") {
  Watch watch;
  watch.see(7, {1, 1});
  CHECK(watch.means.known(0) == 0);
  watch.see(8, {1, 1});
  CHECK(watch.means.known(0) == 1);
}

TEST_CASE("an absent task is not touched and carries its mean over the epochs it misses") {
  Watch watch;
  watch.see(0, {4, 8});
  const std::vector<double> before = watch.state;
  watch.see(1, {6, -1}, {1, 0});
  for (const std::size_t k : {1u, 3u, 5u, 7u, 9u, 11u}) {
    CHECK(watch.state[k] == before[k]);
  }
  watch.see(2, {6, 80});
  // Task 1 was last seen in epoch 0: epoch 1 has that mean too.
  CHECK(watch.means.known(1) == 2);
  CHECK(watch.means.latest(1) == 8);
  CHECK(watch.means.previous(1) == 8);
  watch.see(3, {6, 80});
  CHECK(watch.means.latest(1) == 80);
  CHECK(watch.means.previous(1) == 8);
}
