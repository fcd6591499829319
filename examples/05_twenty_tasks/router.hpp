// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

namespace example {

/// The point of the simplex with no coordinate below `least` that is nearest to `x` (Euclid's distance): all coordinates are
/// moved by one number and cut at `least`. Found by sorting.
inline std::vector<double> onto_simplex(const std::vector<double>& x, double least) {
  std::vector<double> sorted = x;
  std::sort(sorted.begin(), sorted.end(), std::greater<double>());
  const double whole = 1 - least * static_cast<double>(x.size());
  double sum = 0, shift = 0;
  for (std::size_t k = 0; k < sorted.size(); ++k) {
    sum += sorted[k] - least;
    const double candidate = (sum - whole) / static_cast<double>(k + 1);
    if (sorted[k] - least - candidate > 0) {
      shift = candidate;
    }
  }
  std::vector<double> nearest;
  for (const double value : x) {
    nearest.push_back(std::max(value - shift, least));
  }
  return nearest;
}

struct RouterOptions {
  double rate = 0.05;          ///< step of a policy in one update
  double memory = 0.9;         ///< how much of an action's mean return stays where a new one is seen
  double collaboration = 0.3;  ///< reward for choosing what the other agents choose
  double least = 0.005;        ///< no action becomes less likely
};

/// Which function block each sample of a task takes at each routed layer: the router of "Routing networks: adaptive selection of
/// non-linear functions for multi-task learning" (Rosenbaum, Klinger, Riemer, ICLR 2018) with an agent for each task, tabular
/// policies, and the weighted policy learner.
///
/// A sample's path is rewarded at its end, by 1 where its task was solved and -1 where not, and at each layer by `collaboration`
/// times how likely the agents choose the same block there, on average. An action's return is what comes from its layer on. Each
/// agent keeps the mean return R(a) of each action, and moves its policy by
///     pi(a) <- pi(a) + rate (R(a) - <R, pi>) w(a),   w(a) = pi(a) where that difference is negative, 1 - pi(a) else,
/// and back onto the simplex (Abdallah and Lesser 2008): slowly away from what is nearly certain, fast back to it.
class Router {
 public:
  Router(std::size_t agents, std::size_t layers, std::size_t blocks, const RouterOptions& options = {})
      : options_(options),
        layers_(layers),
        tables_(agents, std::vector<Table>(layers, {std::vector<double>(blocks, 1 / static_cast<double>(blocks)),
                                                    std::vector<double>(blocks, 0), std::vector<bool>(blocks, false)})) {}

  std::size_t layers() const { return layers_; }
  const std::vector<double>& policy(std::size_t agent, std::size_t layer) const { return tables_[agent][layer].policy; }

  /// @param draw  uniform in [0, 1)
  std::size_t choose(std::size_t agent, std::size_t layer, double draw) const {
    const auto& policy = tables_[agent][layer].policy;
    for (std::size_t a = 0; a + 1 < policy.size(); ++a) {
      draw -= policy[a];
      if (draw < 0) {
        return a;
      }
    }
    return policy.size() - 1;
  }

  /// The likeliest block, for evaluation.
  std::size_t best(std::size_t agent, std::size_t layer) const {
    const auto& policy = tables_[agent][layer].policy;
    return static_cast<std::size_t>(std::max_element(policy.begin(), policy.end()) - policy.begin());
  }

  /// A sample's path, one block for each layer, and how it ended; policies stay as they are until update().
  void reward(std::size_t agent, const std::vector<std::size_t>& path, bool solved) {
    double sum = solved ? 1 : -1;
    for (std::size_t layer = layers_; layer-- > 0;) {
      sum += options_.collaboration * mean_probability(layer, path[layer]);
      Table& table = tables_[agent][layer];
      double& known = table.returns[path[layer]];
      known = table.seen[path[layer]] ? options_.memory * known + (1 - options_.memory) * sum : sum;
      table.seen[path[layer]] = true;
    }
  }

  /// Moves every policy once.
  void update() {
    for (auto& agent : tables_) {
      for (Table& table : agent) {
        move(table);
      }
    }
  }

 private:
  struct Table {
    std::vector<double> policy, returns;
    std::vector<bool> seen;
  };

  double mean_probability(std::size_t layer, std::size_t block) const {
    double sum = 0;
    for (const auto& agent : tables_) {
      sum += agent[layer].policy[block];
    }
    return sum / static_cast<double>(tables_.size());
  }

  /// An action that was never taken counts as the mean: nothing speaks for or against it.
  void move(Table& table) const {
    double mean = 0, known = 0;
    for (std::size_t a = 0; a < table.policy.size(); ++a) {
      if (table.seen[a]) {
        mean += table.policy[a] * table.returns[a];
        known += table.policy[a];
      }
    }
    if (known == 0) {
      return;
    }
    mean /= known;
    std::vector<double> moved = table.policy;
    for (std::size_t a = 0; a < moved.size(); ++a) {
      const double better = table.seen[a] ? table.returns[a] - mean : 0;
      moved[a] += options_.rate * better * (better < 0 ? table.policy[a] : 1 - table.policy[a]);
    }
    table.policy = onto_simplex(moved, options_.least);
  }

  RouterOptions options_;
  std::size_t layers_;
  std::vector<std::vector<Table>> tables_;
};

}  // namespace example
