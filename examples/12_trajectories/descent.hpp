// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

#include "problem.hpp"

namespace example {

/// A rule that looks at the two gradients, or losses, of a point and gives the direction to step against.
template <class Rule>
class Direction {
 public:
  explicit Direction(const Rule& rule) : weighting_(rule), rule_(rule) {
    state_.resize(static_cast<std::size_t>(weighting_.state_size(2)));
    scratch_.resize(static_cast<std::size_t>(weighting_.scratch_size(2)) + 1);
    weighting_.initialise(2, state_.data());
  }

  Point operator()(const Losses& seen, double below) {
    const auto& g = seen.gradients;
    const auto dot = [&](std::size_t i, std::size_t j) { return g[i][0] * g[j][0] + g[i][1] * g[j][1]; };
    const std::array<double, 4> gram{dot(0, 0), dot(0, 1), dot(1, 0), dot(1, 1)};
    const std::array<double, 2> losses{seen.values[0] - below, seen.values[1] - below};
    const std::array<std::uint8_t, 2> present{1, 1};
    fuller::Evidence<> evidence;
    evidence.count = 2;
    evidence.gram = gram.data();
    evidence.losses = losses.data();
    evidence.present = present.data();
    evidence.step = step_++;
    evidence.epoch = evidence.step / steps_of_epoch;
    std::array<double, 2> heads{};
    std::array<fuller::Condition, 2> conditions{};
    weighting_(fuller::Serial{}, evidence, state_.data(), {weights_.data(), heads.data(), conditions.data()}, scratch_.data());
    if constexpr (fuller::detail::rule_drops_signs<Rule>::value) {
      return dropped(g, evidence.step);
    }
    return {weights_[0] * g[0][0] + weights_[1] * g[1][0], weights_[0] * g[0][1] + weights_[1] * g[1][1]};
  }

  const std::array<double, 2>& weights() const { return weights_; }

 private:
  static constexpr std::int64_t steps_of_epoch = 100;

  /// The point itself is then the representation.
  Point dropped(const std::array<Point, 2>& g, std::int64_t step) const {
    if constexpr (fuller::detail::rule_drops_signs<Rule>::value) {
      const auto drop = rule_.sign_drop();
      std::array<double, 4> uniform{};
      fuller::detail::ElementDraws{drop.seed, step, 0}.four(0, uniform.data());
      Point out{};
      for (std::size_t k = 0; k < 2; ++k) {
        const std::array<double, 2> v{weights_[0] * g[0][k], weights_[1] * g[1][k]};
        const std::array<double, 2> leaks{drop.leak_of(0), drop.leak_of(1)};
        out[k] = fuller::detail::of_drawn_sign(v.data(), leaks.data(), 2, uniform[k]);
      }
      return out;
    }
    return {};
  }

  fuller::Weighting<Rule> weighting_;
  Rule rule_;
  std::vector<double> state_, scratch_;
  std::array<double, 2> weights_{};
  std::int64_t step_ = 0;
};

/// A descent by Adam, as the toy problem's authors do it: every `each`-th point, and the last.
template <class Rule>
std::vector<Point> by_adam(const Problem& problem, Point x, const Rule& rule, int steps, int each, double learning_rate = 1e-3) {
  Direction<Rule> direction(rule);
  Point first{};
  Point second{};
  std::vector<Point> path;
  for (int k = 0; k < steps; ++k) {
    if (k % each == 0) {
      path.push_back(x);
    }
    const Point d = direction(problem.at(x), problem.below);
    for (std::size_t p = 0; p < 2; ++p) {
      first[p] = 0.9 * first[p] + 0.1 * d[p];
      second[p] = 0.999 * second[p] + 0.001 * d[p] * d[p];
      const double mean = first[p] / (1 - std::pow(0.9, k + 1));
      const double square = second[p] / (1 - std::pow(0.999, k + 1));
      x[p] -= learning_rate * mean / (std::sqrt(square) + 1e-8);
    }
  }
  path.push_back(x);
  return path;
}

/// A descent along the direction in steps of one length, which ends where the weighted gradients cancel: what becomes of a point
/// by the direction alone, whatever the optimiser.
template <class Rule>
Point along(const Problem& problem, Point x, const Rule& rule, double length, int steps) {
  Direction<Rule> direction(rule);
  for (int k = 0; k < steps; ++k) {
    const Losses seen = problem.at(x);
    const Point d = direction(seen, problem.below);
    const double size = std::hypot(d[0], d[1]);
    double longest = 0;
    for (std::size_t i = 0; i < 2; ++i) {
      longest = std::max(longest, std::abs(direction.weights()[i]) * std::hypot(seen.gradients[i][0], seen.gradients[i][1]));
    }
    if (!(size > 2e-3 * longest)) {
      break;
    }
    x[0] -= length * d[0] / size;
    x[1] -= length * d[1] / size;
  }
  return x;
}

}  // namespace example
