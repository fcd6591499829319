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

/// Options of GradVac; initialise() refuses those out of range.
struct GradVacOptions {
  /// How far a step moves the target towards its cosine, in [0, 1]: 0.5 as in TorchJD and LibMTL; with 0 targets stay 0, which is
  /// PCGrad.
  double beta = 0.5;
  /// Key of the random orders; must be the same on every rank.
  std::uint64_t seed = 0;
};

/// GradVac, "Gradient vaccine: investigating and improving multi-task optimization in massively multilingual models" (Wang,
/// Tsvetkov, Firat and Cao, ICLR 2021), Algorithm 1: as PCGrad, but a pair's gradients are turned towards the cosine they usually
/// have. p_i = g_i, and for the other tasks j in a random order, with phi_ij = cos(p_i, g_j) and the target phi^_ij:
/// where phi_ij < phi^_ij, p_i += |p_i| (phi^_ij sqrt(1 - phi_ij^2) - phi_ij sqrt(1 - phi^_ij^2)) / (|g_j| sqrt(1 - phi^_ij^2))
/// g_j; then phi^_ij += beta (phi_ij - phi^_ij), from 0. The update is the sum of the p_i. The first step is PCGrad's.
///
/// Reading. The target moves in every step, as in Algorithm 1 (one public code moves it only where p_i is turned), by the
/// cosine that was measured before the turn. All shared parameters are one group.
///
/// In terms of the Gram matrix, as PCGrad: coefficients c_i with m_ik = <p_i, g_k> and q_i = |p_i|^2, all three updated by each
/// turn. Weights are >= 0.
///
/// Rounding. At phi = phi^ the turn is 0, so the sign of a rounding error decides nothing. A target counts as at most 1 - 1e-6:
/// otherwise gradients that keep one direction for some steps would ask for an infinite turn. A p_i with |p_i|^2 <= 1e-12 |g_i|^2
/// has no direction: it is not turned and moves no target. Scale: a common factor changes nothing.
///
/// Needs the Gram matrix over all shared parameters; heads get plain gradients. State: T x T targets.
struct GradVac {
  static constexpr const char* name = "GradVac";
  static constexpr Needs needs{true, false};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  GradVacOptions options;

  GradVac() = default;
  explicit GradVac(const GradVacOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int tasks) const { return tasks * tasks; }
  FULLER_HD int scratch_size(int tasks) const { return 3 * tasks * tasks + (tasks + 1) * detail::doubles_for_bytes(tasks); }
  /// @throws Error unless beta is in [0, 1].
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    detail::require("GradVac: option beta", options.beta, options.beta >= 0 && options.beta <= 1, "[0, 1]");
    for (int k = 0; k < tasks * tasks; ++k) {
      state[k] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int tasks, const double* state) const {
    for (int k = 0; k < tasks * tasks; ++k) {
      detail::require_saved(name, "target cosine", k, state[k], state[k] >= -1.001 && state[k] <= 1.001);
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    std::uint8_t* const index = work.bytes(T);
    const int K = detail::present_tasks(lanes, evidence, index);
    double* const c = work.doubles(K * K);
    double* const m = work.doubles(K * K);
    const int row = 8 * detail::doubles_for_bytes(K);
    std::uint8_t* const orders = work.bytes(row * K);
    const double* const G = detail::present_gram(lanes, evidence, index, K, work.rest());

    for (int i = lanes.index(); i < K; i += Lanes::count) {
      turn(i, K, G, index, state + index[i] * T, c + i * K, m + i * K, orders + i * row, evidence.step);
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
  /// The inner loop of Algorithm 1 for one task i: c and m are its rows, targets its row of all T.
  FULLER_HD void turn(int i, int K, const double* G, const std::uint8_t* index, double* targets, double* c, double* m,
                      std::uint8_t* order, std::int64_t step) const {
    constexpr double largest_target = 1 - 1e-6;
    constexpr double no_direction = 1e-12;
    for (int k = 0; k < K; ++k) {
      c[k] = 0;
      m[k] = G[i * K + k];
    }
    c[i] = 1;
    for (int k = 0; k < K - 1; ++k) {
      order[k] = static_cast<std::uint8_t>(k < i ? k : k + 1);
    }
    shuffle(order, K - 1, options.seed, step, static_cast<std::uint32_t>(i));
    double q = G[i * K + i];
    for (int r = 0; r < K - 1; ++r) {
      const int j = order[r];
      const double* const G_j = G + j * K;
      if (!(q > no_direction * G[i * K + i])) {
        continue;
      }
      const double p_length = std::sqrt(q);
      const double g_length = std::sqrt(G_j[j]);
      const double measured = m[j] / p_length / g_length;
      const double phi = measured > 1 ? 1 : detail::larger(measured, -1);
      double& target = targets[index[j]];
      const double goal = target > largest_target ? largest_target : target;
      if (phi < goal) {
        const double turned = goal * std::sqrt((1 - phi) * (1 + phi)) / std::sqrt((1 - goal) * (1 + goal)) - phi;
        const double coefficient = p_length / g_length * turned;
        q = detail::larger(q + coefficient * (2 * m[j] + coefficient * G_j[j]), 0);
        c[j] += coefficient;
        for (int k = 0; k < K; ++k) {
          m[k] += coefficient * G_j[k];
        }
      }
      target += options.beta * (phi - target);
    }
  }
};

}  // namespace v0_1
}  // namespace fuller
