// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/random.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of PCGrad.
struct PCGradOptions {
  /// Key of the random orders; must be the same on every rank.
  std::uint64_t seed = 0;
};

/// PCGrad, "Gradient surgery for multi-task learning" (Yu et al., NeurIPS 2020), Algorithm 1. Each p_i starts as g_i and goes
/// through the other tasks j in a random order, drawn for each i. Where it conflicts with the raw g_j, the component along that
/// is removed: p <- p - (<p, g_j> / |g_j|^2) g_j where <p, g_j> < 0. The update is the sum of the p_i.
///
/// In terms of the Gram matrix G alone: p_i = sum_k c_ik g_k starts at c_i = e_i with products m_ik = <p_i, g_k> = G_ik. A
/// projection is c_ij -= m_ij / G_jj and m_i -= (m_ij / G_jj) G_j. The weight of task j is the column sum of c: every weight is
/// >= 1. T = 2 in conflict: (1 - G_12 / G_11, 1 - G_12 / G_22), which does not depend on chance.
///
/// There is no epsilon: each quotient is at most |p_i| / |g_j|, finite whenever the ratio of norms is, and a conflict that is
/// only rounding moves p by rounding, whatever its sign. The order of task i is Philox(seed, step, i): the same on all ranks, and
/// no state. A task without any conflict keeps its gradient in every order, so no order is drawn for it.
///
/// Needs the Gram matrix over all shared parameters; heads get plain gradients.
struct PCGrad {
  static constexpr const char* name = "PCGrad";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  PCGradOptions options;

  PCGrad() = default;
  explicit PCGrad(const PCGradOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int tasks) const { return 3 * tasks * tasks + (tasks + 1) * detail::doubles_for_bytes(tasks); }
  void initialise(int tasks, double*) const { detail::require_task_count(name, tasks); }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    std::uint8_t* const index = work.bytes(T);
    const int K = detail::present_tasks(lanes, evidence, index);
    double* const c = work.doubles(K * K);
    double* const m = work.doubles(K * K);
    std::uint8_t* const orders = work.bytes(8 * detail::doubles_for_bytes(K) * K);
    const double* const G = detail::present_gram(lanes, evidence, index, K, work.rest());

    for (int i = lanes.index(); i < K; i += Lanes::count) {
      project(i, K, G, c + i * K, m + i * K, orders + i * 8 * detail::doubles_for_bytes(K), evidence.step);
    }
    lanes.sync();
    detail::clear_absent(lanes, evidence, weights);
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      double sum = 0;
      for (int i = 0; i < K; ++i) {
        sum += c[i * K + j];
      }
      weights[index[j]] = sum;
    }
    lanes.sync();
  }

 private:
  /// The inner loop of Algorithm 1 for one task i: c and m are its rows.
  FULLER_HD void project(int i, int K, const double* G, double* c, double* m, std::uint8_t* order, std::int64_t step) const {
    bool conflict = false;
    for (int k = 0; k < K; ++k) {
      c[k] = 0;
      m[k] = G[i * K + k];
      conflict = conflict || m[k] < 0;
    }
    c[i] = 1;
    if (!conflict) {
      return;
    }
    for (int k = 0; k < K - 1; ++k) {
      order[k] = static_cast<std::uint8_t>(k < i ? k : k + 1);
    }
    shuffle(order, K - 1, options.seed, step, static_cast<std::uint32_t>(i));
    for (int q = 0; q < K - 1; ++q) {
      const int j = order[q];
      if (m[j] < 0) {
        const double* const G_j = G + j * K;
        const double coefficient = m[j] / G_j[j];
        c[j] -= coefficient;
        for (int k = 0; k < K; ++k) {
          m[k] -= coefficient * G_j[k];
        }
      }
    }
  }
};

}  // namespace v0_1
}  // namespace fuller
