// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/equal_projections.hpp>
#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {

/// ConFIG, "ConFIG: towards conflict-free training of physics informed neural networks" (Liu, Chu and Thuerey, ICLR 2025), Eq. 2
/// and 3: g = (sum_i <g_i, g_u>) g_u with g_u the direction of [u_1 .. u_T]^-T 1, u_i = g_i / n_i: the same projection on every
/// unit gradient, and a length that shrinks where gradients disagree.
///
/// Derivation. [u_i]^-T 1 = sum_i beta_i u_i with beta = C^-1 1, C_ij = <u_i, u_j>: IMTL-G's direction. With s = 1^T beta its
/// length is sqrt(s), its projection on each u_i is 1, so g = (sum_k n_k / s) sum_i beta_i u_i and
/// w_i = (beta_i / n_i) (sum_k n_k) / s. s > 0 always, so ConFIG does not reverse the step where IMTL-G's `paper` form does.
/// T = 2: w_i = (n_1 + n_2) / (2 n_i), whatever the angle.
///
/// Rounding and singular C as for IMTL_G, whose solver this uses: opposite gradients get the weights that cancel them, and a
/// beta within 1e-12 of 0 is 0. Scale: a common factor changes nothing; a factor on one gradient changes only the length of the
/// update. With three tasks or more weights can be negative: a head's is then 0.
///
/// Needs the Gram matrix. No state.
struct ConFIG {
  static constexpr const char* name = "ConFIG";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return tasks * tasks + 2 * tasks + detail::doubles_for_bytes(tasks); }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

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
    double lengths = 0;
    double largest = 0;
    for (int a = 0; a < K; ++a) {
      lengths += n[a];
      largest = detail::larger(largest, std::fabs(beta[a]));
    }
    detail::clear_absent(lanes, evidence, weights);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      const double kept = std::fabs(beta[a]) <= detail::rounding_noise * largest ? 0 : beta[a];
      weights[index[a]] = kept / s * (lengths / n[a]);
    }
    lanes.sync();
  }
};

}  // namespace v0_1
}  // namespace fuller
