// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/equal_projections.hpp>
#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of IMTL_G.
struct IMTL_G_Options {
  /// What is done with negative weights, which can occur with three tasks or more.
  enum class Negative {
    /// Shared parameters get the equal-projection weights with their signs, over a normaliser that is always positive; a head
    /// whose weight is negative gets 0. Nothing is trained uphill.
    signed_shared,
    /// Negative weights become 0 for shared parameters and heads, and the rest is normalised. Projections are then no longer
    /// equal, and may be negative.
    clamp,
    /// As the paper says: weights add up to the sum asked for even where that reverses the step, and heads get them too.
    paper,
  };
  Negative negative = Negative::signed_shared;
  /// 1 as in the paper. With `tasks`, equal gradients give a step as long as the summed loss does.
  WeightSum sum = WeightSum::one;
};

/// IMTL-G, "Towards impartial multi-task learning" (Liu et al., ICLR 2021): weights alpha with sum 1 such that
/// g = sum_i alpha_i g_i has the same projection on every u_i = g_i / n_i, n_i = |g_i|.
///
/// Derivation. Equal projections mean G alpha = lambda n for the Gram matrix G = N C N, with N = diag(n) and C_ij = <u_i, u_j>.
/// Put beta = C^-1 1; then alpha_i = (beta_i / n_i) / Z with Z = sum_k beta_k / n_k, and the projection is lambda = 1 / Z. The
/// paper's form, a (T-1) x (T-1) inverse of U D^T, gives the same numbers. Here the system has only cosines, so norms that differ
/// by 1e8 cost no digit, and nothing has a unit.
/// T = 2: beta ~ (1, 1), alpha = (n_2, n_1) / (n_1 + n_2), whatever the angle. T >= 3: Cholesky.
///
/// Sign. s = sum beta = 1^T C^-1 1 > 0, but Z <= 0 is possible where weights are negative (T >= 3); dividing by it would turn the
/// step uphill for every task. `signed_shared` divides by max(Z, s / n_max) where a beta is negative. Then |g| =
/// sqrt(s) / Z <= n_max / sqrt(s) <= n_max, so the step is never longer than the longest gradient. Projections are positive and
/// equal, and weights depend continuously on the norms. Where the paper's step is no longer than that bound (always for equal
/// norms, and for beta >= 0) the weights are the paper's. A negative shared weight here is no ascent: every loss falls.
///
/// Rounding. No sign of a rounding error decides:
/// - s is formed as 1^T C^-1 1, a sum of squares over pivots, which is positive by construction;
/// - a beta within 1e-12 of 0, relative to the largest, is 0: the cosines are not exact enough to tell its task's share of the
///   step, while its sign would decide whether `Missing::hold` remembers the weight;
/// - in `paper`, a Z within 1e-12 of 0, relative to its terms, is 0.
///
/// Cholesky is used in place of an explicit inverse even for T = 3: it is backward stable, so projections are right to 1e-16
/// |beta| however nearly opposite the gradients are; products of differences of cosines are not.
///
/// Accuracy. An error e in the cosines (1e-12 as fuller's reductions promise, 1e-16 from rounding here) is an error e / d in
/// d = 1 - |cos| ~ angle^2 / 2, and about that in the weights for T >= 3: at angles of 1e-4, e / 5e-9, that is 2e-4 for
/// e = 1e-12 and 1e-7 for exactly rounded dot products. T = 2 needs no cosine.
/// Where C is singular (parallel, opposite or dependent gradients: a pivot <= 2e-15 T of its diagonal, the largest chosen first)
/// the system is solved with C + 1e-9 I, which gives the minimum-norm solution to about 1e-6. Duplicates of one task share its
/// weight equally, and gradients that can cancel get the weights that cancel them.
///
/// Needs the Gram matrix; no state. Surface and reach as in FULLER (ICCV 2023), Algorithm 1.
struct IMTL_G {
  static constexpr const char* name = "IMTL-G";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::last_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::all;

  IMTL_G_Options options;

  IMTL_G() = default;
  explicit IMTL_G(const IMTL_G_Options& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return tasks * tasks + 2 * tasks + detail::doubles_for_bytes(tasks); }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }
  FULLER_HD bool heads_may_ascend() const { return options.negative == IMTL_G_Options::Negative::paper; }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    double* const n = work.doubles(T);
    double* const beta = work.doubles(T);
    std::uint8_t* const index = work.bytes(T);
    const int K = detail::present_tasks(lanes, evidence, index);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      n[a] = evidence.norm(index[a]);
    }
    lanes.sync();
    const double s = detail::equal_projections(lanes, evidence, index, K, n, beta, work.rest());

    double largest = 0;
    for (int a = 0; a < K; ++a) {
      largest = detail::larger(largest, std::fabs(beta[a]));
    }
    const double noise = detail::rounding_noise * largest;
    const double Z = normaliser(K, n, beta, noise, s) / (options.sum == WeightSum::tasks ? K : 1);
    detail::clear_absent(lanes, evidence, weights);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      weights[index[a]] = kept(beta[a], noise) / n[a] / Z;
    }
    lanes.sync();
  }

 private:
  /// What the policy makes of one beta.
  FULLER_HD double kept(double beta, double noise) const {
    if (std::fabs(beta) <= noise) {
      return 0;
    }
    return options.negative == IMTL_G_Options::Negative::clamp ? detail::larger(beta, 0) : beta;
  }

  /// Z. Every lane forms all of it, in the same order.
  FULLER_HD double normaliser(int K, const double* n, const double* beta, double noise, double s) const {
    double Z = 0;
    double terms = 0;
    double n_max = 0;
    bool any_negative = false;
    for (int a = 0; a < K; ++a) {
      const double term = kept(beta[a], noise) / n[a];
      Z += term;
      terms += std::fabs(term);
      n_max = detail::larger(n_max, n[a]);
      any_negative = any_negative || term < 0;
    }
    const double shortest = s / n_max;
    if (options.negative == IMTL_G_Options::Negative::signed_shared && any_negative) {
      return detail::larger(Z, shortest);
    }
    // In the paper's form Z = 0 divides by zero; here the step stays finite.
    return std::fabs(Z) <= detail::rounding_noise * terms ? shortest : Z;
  }
};

}  // namespace v0_1
}  // namespace fuller
