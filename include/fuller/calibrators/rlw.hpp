// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/random.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of RLW.
struct RLWOptions {
  /// 1 as in the paper, or the number of tasks in the step.
  WeightSum sum = WeightSum::one;
  /// Key of the draws; must be the same on every rank.
  std::uint64_t seed = 0;
};

/// RLW, "Reasonable effectiveness of random weighting: a litmus test for multi-task learning" (Lin, Ye, Zhang and Tsang, TMLR
/// 2022): weights softmax(z) with z_i drawn anew from a normal distribution in each step. A rule that uses evidence has to do
/// better than this one.
///
/// The draw of the a-th task in a step is Philox(seed, step, a): the same on all ranks and after a resume. Scale and
/// rounding: no evidence is used.
///
/// Needs nothing. No state.
struct RLW {
  static constexpr const char* name = "RLW";
  static constexpr Needs needs{false, false};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  RLWOptions options;

  RLW() = default;
  explicit RLW(const RLWOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return tasks + detail::doubles_for_bytes(tasks); }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    double* const share = work.doubles(T);
    std::uint8_t* const index = work.bytes(T);
    const int K = detail::present_tasks(lanes, evidence, index);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      share[a] = std::exp(normal(evidence.step, static_cast<std::uint32_t>(a)));
    }
    lanes.sync();
    double sum = 0;
    for (int a = 0; a < K; ++a) {
      sum += share[a];
    }
    detail::clear_absent(lanes, evidence, weights);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      weights[index[a]] = (options.sum == WeightSum::tasks ? K : 1) * (share[a] / sum);
    }
    lanes.sync();
  }

 private:
  /// Marsaglia's polar method: u / sqrt(s) is the cosine of an angle that is uniform, sqrt(-2 log s) a length, for a point (u, v)
  /// in the unit disc with s = u^2 + v^2.
  FULLER_HD double normal(std::int64_t step, std::uint32_t task) const {
    for (std::uint32_t attempt = 0;; ++attempt) {
      const PhiloxBlock words = random_block(options.seed, step, task, attempt);
      const double u = 2 * uniform_double(words.word[0], words.word[1]) - 1;
      const double v = 2 * uniform_double(words.word[2], words.word[3]) - 1;
      const double s = u * u + v * v;
      if (s < 1 && s > 0) {
        return u * std::sqrt(-2 * std::log(s) / s);
      }
    }
  }
};

}  // namespace v0_1
}  // namespace fuller
