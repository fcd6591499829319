// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/scratch.hpp>
#include <fuller/core/symmetric_eigen.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of AlignedMTL.
struct AlignedMTLOptions {
  /// Which of the principal components' squared lengths all components get.
  enum class Scale {
    min,     ///< the smallest, as published: no component becomes longer
    median,  ///< the median; of an even number, the lower of the two in the middle
    mean,    ///< the mean ("rmse" in the authors' code)
  };
  Scale scale = Scale::min;
  /// What the preferences, which are equal, add up to: the number of tasks as in the authors' code, or 1.
  WeightSum sum = WeightSum::tasks;
};

/// Aligned-MTL, "Independent component alignment for multi-task learning" (Senushkin et al., CVPR 2023), Algorithm 1: the
/// gradients' principal components are made equally long, so that the linear system they form is well conditioned.
///
/// In terms of the Gram matrix: G = V diag(lambda) V^T with the R components of lambda > 0 kept;
/// B = sqrt(sigma) V diag(lambda^-1/2) V^T with sigma the smallest lambda kept, and the weights are B p for preferences p.
/// T = 2 with equal norms n and cosine c: lambda = n^2 (1 +- c).
///
/// Rounding. A lambda = |sum_a v_a g_a|^2 within 1e-12 of 0, relative to the sum of the v_a^2 |g_a|^2, is 0: products that are
/// exact to 1e-12 cannot tell its gradients from dependent ones, and a component that is only rounding would shrink the step to
/// nothing. With this measure, and Jacobi's method, a gradient 1e8 times shorter than another still counts as a component; as
/// published it then determines the length of the step. A weight within 1e-12 of 0 is 0, as for opposite gradients, whose sum has
/// no component. Scale: a common factor changes nothing. With three tasks or more weights can be negative: a head's is then 0.
///
/// Needs the Gram matrix. No state.
struct AlignedMTL {
  static constexpr const char* name = "Aligned-MTL";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  AlignedMTLOptions options;

  AlignedMTL() = default;
  explicit AlignedMTL(const AlignedMTLOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return 2 * tasks * tasks + 2 * tasks + 2 + detail::doubles_for_bytes(tasks); }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    double* const f = work.doubles(T + 1);
    double* const rotations = work.doubles(T + 1);
    std::uint8_t* const index = work.bytes(T);
    const int K = detail::present_tasks(lanes, evidence, index);
    double* const G = work.doubles(K * K);
    double* const V = work.doubles(K * K);
    double n_max = 0;
    for (int a = 0; a < K; ++a) {
      n_max = detail::larger(n_max, evidence.norm(index[a]));
    }
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      for (int b = 0; b < K; ++b) {
        G[a * K + b] = evidence.dot(index[a], index[b]) / n_max / n_max;
      }
    }
    lanes.sync();
    detail::symmetric_eigen(lanes, K, G, V, rotations);

    double* const lambda = rotations;  // 0 where it is rounding
    for (int k = lanes.index(); k < K; k += Lanes::count) {
      double of_squares = 0;
      for (int a = 0; a < K; ++a) {
        const double length = V[k * K + a] * (evidence.norm(index[a]) / n_max);
        of_squares += length * length;
      }
      lambda[k] = G[k * K + k] > detail::rounding_noise * of_squares ? G[k * K + k] : 0;
    }
    lanes.sync();
    const double sigma = chosen_scale(K, lambda);
    const double p = options.sum == WeightSum::one ? 1.0 / K : 1;
    for (int k = lanes.index(); k < K; k += Lanes::count) {
      double along = 0;  // <v_k, p>
      for (int a = 0; a < K; ++a) {
        along += V[k * K + a] * p;
      }
      f[k] = lambda[k] > 0 ? std::sqrt(sigma / lambda[k]) * along : 0;
    }
    lanes.sync();
    detail::clear_absent(lanes, evidence, weights);
    for (int a = lanes.index(); a < K; a += Lanes::count) {
      double sum = 0;
      for (int k = 0; k < K; ++k) {
        sum += f[k] * V[k * K + a];
      }
      weights[index[a]] = std::fabs(sum) <= detail::rounding_noise * p ? 0 : sum;
    }
    lanes.sync();
  }

 private:
  /// sigma; every lane finds it alone.
  FULLER_HD double chosen_scale(int K, const double* lambda) const {
    int rank = 0;
    double sum = 0;
    double least = 0;
    for (int k = 0; k < K; ++k) {
      if (lambda[k] > 0) {
        least = rank == 0 || lambda[k] < least ? lambda[k] : least;
        sum += lambda[k];
        ++rank;
      }
    }
    if (options.scale == AlignedMTLOptions::Scale::min) {
      return least;
    }
    if (options.scale == AlignedMTLOptions::Scale::mean) {
      return sum / rank;
    }
    for (int k = 0; k < K; ++k) {
      int below = 0;
      for (int l = 0; l < K; ++l) {
        const bool before = lambda[l] < lambda[k] || (lambda[l] == lambda[k] && l < k);
        below += lambda[l] > 0 && before ? 1 : 0;
      }
      if (lambda[k] > 0 && below == (rank - 1) / 2) {
        return lambda[k];
      }
    }
    return least;
  }
};

}  // namespace v0_1
}  // namespace fuller
