// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of GO4Align; initialise() refuses those out of range.
struct GO4AlignOptions {
  /// How many groups the tasks form, 2 to 64. If there are no more tasks than groups, each task is a group.
  int groups = 2;
  /// How fast a task whose loss stays large loses influence, >= 0. Its unit is 1 / loss.
  double eta = 1e-4;
};

/// GO4Align, "GO4Align: group optimization for multi-task alignment" (Shen, Zhang, Xiao, Hu, Wang, Snoek and Worring, NeurIPS
/// 2024): risk-guided weights w_i = q_i sum_k L_k / L_i with q_i ~ q_i e^(-eta L_i), which bring the losses to one scale, are
/// grouped by K-means, and each task gets the mean of its group.
///
/// Reading. The authors' K-means starts from a seed and can end in a poor grouping. For T numbers on a line a dynamic programme
/// over the sorted numbers, O(T^2 K), finds the best grouping exactly, and is deterministic. The authors' default of one group
/// would make all weights equal. How many groups the paper used for each data set is not published; the default here, two, is the
/// smallest number that has an effect. q is kept as a logarithm, and normalised over the tasks of the step.
///
/// Rounding. Of groupings whose squared distances agree to 1e-12 of those of one group, the one whose lower groups are smaller is
/// taken. Losses should be positive: one below 1e-12 of the largest counts as 1e-12 of it. Scale: a common factor on the losses
/// changes only how fast q moves.
///
/// Needs the losses. State per task: log q_i.
struct GO4Align {
  static constexpr const char* name = "GO4Align";
  static constexpr Needs needs{false, true};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;
  static constexpr bool positive_losses = true;

  GO4AlignOptions options;

  GO4Align() = default;
  explicit GO4Align(const GO4AlignOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return tasks; }
  FULLER_HD int scratch_size(int tasks) const {
    return tasks * tasks + 4 * tasks + 2 * detail::doubles_for_bytes(tasks) +
           detail::doubles_for_bytes(most_groups(tasks) * tasks);
  }
  /// @throws Error for a number of groups outside [2, 64], or an eta that is negative or not finite.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require("GO4Align: option groups", options.groups, options.groups >= 2 && options.groups <= TaskVector::capacity,
                    "[2, 64]");
    detail::require("GO4Align: option eta", options.eta, options.eta >= 0 && detail::is_finite(options.eta), "[0, infinity)");
    for (int i = 0; i < tasks; ++i) {
      state[i] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    for (int i = 0; i < tasks; ++i) {
      detail::require_saved(name, "log q", i, state[i], std::fabs(state[i]) <= 1e100);
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    double* const w = work.doubles(T);
    double* const sorted = work.doubles(T);
    std::uint8_t* const index = work.bytes(T);
    std::uint8_t* const rank = work.bytes(T);
    const int K = detail::present_tasks(lanes, evidence, index);
    risk_weights(lanes, evidence, K, index, state, w);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      int below = 0;
      for (int b = 0; b < K; ++b) {
        below += w[b] < w[a] || (w[b] == w[a] && b < a) ? 1 : 0;
      }
      rank[a] = static_cast<std::uint8_t>(below);
      sorted[below] = w[a];
    }
    lanes.sync();
    if (K > options.groups) {
      to_group_means(lanes, K, sorted, work);
    }
    detail::clear_absent(lanes, evidence, weights);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      weights[index[a]] = sorted[rank[a]];
    }
    lanes.sync();
  }

 private:
  FULLER_HD int most_groups(int tasks) const { return options.groups < tasks ? options.groups : tasks; }

  /// w_a = q_a sum L / L_a of the present tasks, with q updated.
  template <class Lanes, int Tasks>
  FULLER_HD void risk_weights(Lanes lanes, const Evidence<Tasks>& evidence, int K, const std::uint8_t* index, double* log_q,
                              double* w) const {
    constexpr double smallest_share = 1e-12;
    double largest = 0;
    for (int a = 0; a < K; ++a) {
      largest = detail::larger(largest, evidence.losses[index[a]]);
    }
    const auto share = [&](int a) {
      return largest > 0 ? detail::larger(evidence.losses[index[a]] / largest, smallest_share) : 1;
    };
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      log_q[index[a]] -= options.eta * detail::larger(evidence.losses[index[a]], 0);
    }
    lanes.sync();
    double most = -detail::largest_double;
    for (int a = 0; a < K; ++a) {
      most = detail::larger(most, log_q[index[a]]);
    }
    double sum_q = 0;
    double sum_L = 0;
    for (int a = 0; a < K; ++a) {
      sum_q += std::exp(log_q[index[a]] - most);
      sum_L += share(a);
    }
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      w[a] = std::exp(log_q[index[a]] - most) / sum_q * (sum_L / share(a));
    }
    lanes.sync();
  }

  /// Replaces each of the K rising numbers by the mean of its group, in the grouping with the smallest sum of squared distances.
  template <class Lanes>
  FULLER_HD void to_group_means(Lanes lanes, int K, double* sorted, detail::Scratch work) const {
    double* const apart = work.doubles(K * K);  // of one group from i to j
    double* best = work.doubles(K);             // of numbers 0 to j in so many groups
    double* next = work.doubles(K);
    std::uint8_t* const first = work.bytes(options.groups * K);  // where the last of them begins
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      double mean = 0;
      double sum = 0;
      for (int j = i; j < K; ++j) {
        const double from_mean = sorted[j] - mean;
        mean += from_mean / (j - i + 1);
        sum += from_mean * (sorted[j] - mean);
        apart[i * K + j] = sum;
      }
    }
    lanes.sync();
    const double noise = detail::rounding_noise * apart[K - 1];
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      best[j] = apart[j];
      first[j] = 0;
    }
    lanes.sync();
    for (int g = 1; g < options.groups; ++g) {
      for (int j = lanes.index(); j < K; j += Lanes::count) {
        next[j] = best[j];
        first[g * K + j] = first[(g - 1) * K + j];
        bool found = false;
        for (int i = g; i <= j; ++i) {
          const double sum = best[i - 1] + apart[i * K + j];
          if (!found || sum < next[j] - noise) {
            next[j] = sum;
            first[g * K + j] = static_cast<std::uint8_t>(i);
            found = true;
          }
        }
      }
      lanes.sync();
      double* const kept = best;
      best = next;
      next = kept;
    }
    // Every lane walks back alone; each mean is written by one of them, once all have been formed.
    int end = K - 1;
    for (int g = options.groups - 1; g >= 0; --g) {
      const int begin = first[g * K + end];
      double sum = 0;
      for (int j = begin; j <= end; ++j) {
        sum += sorted[j];
      }
      const double mean = sum / (end - begin + 1);
      for (int j = begin; j <= end; ++j) {
        if (j % Lanes::count == lanes.index()) {
          next[j] = mean;
        }
      }
      end = begin - 1;
      if (end < 0) {
        break;
      }
    }
    lanes.sync();
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      sorted[j] = next[j];
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
