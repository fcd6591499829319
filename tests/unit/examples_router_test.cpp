// SPDX-License-Identifier: Apache-2.0
// The router of the twenty tasks: projections and steps of the weighted policy learner worked out by hand, and what it learns
// where the best paths are known.
#include <cmath>
#include <cstddef>
#include <numeric>
#include <vector>

#include "../../examples/05_twenty_tasks/router.hpp"
#include "support/catch.hpp"

namespace {

using example::onto_simplex;
using example::Router;
using example::RouterOptions;

void check(const std::vector<double>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    CHECK(got[i] == Approx(expected[i]).margin(1e-14));
  }
}

/// Draws that a test can repeat: the fractional parts of multiples of the golden section.
class Draws {
 public:
  double next() { return std::fmod(0.6180339887498949 * static_cast<double>(++count_), 1.0); }

 private:
  int count_ = 0;
};

}  // namespace

TEST_CASE("the nearest point of the simplex", "[examples]") {
  check(onto_simplex({0.2, 0.3, 0.5}, 0), {0.2, 0.3, 0.5});  // is there already
  check(onto_simplex({0.5, 0.5, 0.5}, 0), {1.0 / 3, 1.0 / 3, 1.0 / 3});
  check(onto_simplex({1.2, 0.1, -0.3}, 0), {1, 0, 0});      // shift 0.2: 1, -0.1, -0.5, cut at 0
  check(onto_simplex({0.9, 0.6, -1}, 0), {0.65, 0.35, 0});  // shift 0.25 of the first two
  check(onto_simplex({2, 0, 0}, 0.1), {0.8, 0.1, 0.1});     // no coordinate below 0.1
}

TEST_CASE("blocks are drawn by the policy, and the likeliest is taken in evaluation", "[examples]") {
  const Router router(1, 1, 4);
  CHECK(router.choose(0, 0, 0.0) == 0);
  CHECK(router.choose(0, 0, 0.26) == 1);
  CHECK(router.choose(0, 0, 0.999999) == 3);
  CHECK(router.best(0, 0) == 0);
}

TEST_CASE("one step of the weighted policy learner, by hand", "[examples]") {
  RouterOptions options;
  options.rate = 0.1;
  options.collaboration = 0;
  options.least = 0;
  Router router(1, 1, 2, options);
  router.reward(0, {0}, true);
  router.reward(0, {1}, false);
  router.update();
  // R = (1, -1), pi = (1/2, 1/2), mean 0: (1/2 + 0.1 * 1 * 1/2, 1/2 - 0.1 * 1 * 1/2), on the simplex already.
  check(router.policy(0, 0), {0.55, 0.45});
  router.update();
  // Mean 0.1: differences 0.9 and -1.1, weights 1 - 0.55 and 0.45: (0.5905, 0.4005), moved by 0.0045 each.
  check(router.policy(0, 0), {0.595, 0.405});
}

TEST_CASE("a return holds the collaboration rewards from its layer on", "[examples]") {
  RouterOptions options;
  options.rate = 0.1;
  options.collaboration = 1;
  options.least = 0;
  Router router(2, 2, 2, options);
  router.reward(0, {0, 0}, true);
  router.reward(0, {1, 0}, true);
  router.update();
  // Both paths end alike and every policy is uniform, so both first blocks return 1 + 1/2 + 1/2, and nothing is learnt of them.
  // Of the second layer only block 0 is known.
  check(router.policy(0, 0), {0.5, 0.5});
  check(router.policy(0, 1), {0.5, 0.5});
  check(router.policy(1, 0), {0.5, 0.5});  // an agent that saw nothing
  // An agent that prefers a block draws the others there: with block 0 likelier on average, it returns more.
  for (int i = 0; i < 100; ++i) {
    router.reward(0, {0, 0}, true);
    router.reward(0, {1, 0}, false);
    router.update();
  }
  CHECK(router.policy(0, 0)[0] > 0.8);
  router.reward(1, {0, 0}, true);
  router.reward(1, {1, 0}, true);
  router.update();
  CHECK(router.policy(1, 0)[0] > 0.5);
}

TEST_CASE("agents find the paths that solve their tasks, and keep looking at the others", "[examples]") {
  // Agent t solves its task by block t of the first layer; the second layer does not matter.
  RouterOptions options;
  options.collaboration = 0.1;
  Router router(3, 2, 3, options);
  Draws draws;
  for (int step = 0; step < 400; ++step) {
    for (std::size_t agent = 0; agent < 3; ++agent) {
      for (int sample = 0; sample < 4; ++sample) {
        const std::vector<std::size_t> path = {router.choose(agent, 0, draws.next()), router.choose(agent, 1, draws.next())};
        router.reward(agent, path, path[0] == agent);
      }
    }
    router.update();
  }
  for (std::size_t agent = 0; agent < 3; ++agent) {
    CHECK(router.best(agent, 0) == agent);
    CHECK(router.policy(agent, 0)[agent] > 0.9);
    for (std::size_t layer = 0; layer < 2; ++layer) {
      const auto& policy = router.policy(agent, layer);
      CHECK(std::accumulate(policy.begin(), policy.end(), 0.0) == Approx(1));
      for (const double probability : policy) {
        CHECK(probability >= options.least);
      }
    }
  }
}
