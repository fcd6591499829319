// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/dtp.hpp>
#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/random.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of WPCGrad.
struct WPCGradOptions {
  /// Key of the random orders; must be the same on every rank.
  std::uint64_t seed = 0;
  /// Whether to project along the raw g_i and divide by its square, as Algorithm 2 is printed, instead of the current p_i.
  bool literal_algorithm_2 = false;
};

/// wPCGrad, "Task weighting through gradient projection for multitask learning", Algorithm 2: tasks are drawn one after the other
/// from a task distribution D. From every other task's gradient p_j that conflicts with the drawn task's p_i, the component along
/// p_i is removed: p_j <- p_j - (<p_i, p_j> / |p_i|^2) p_i where <p_i, p_j> < 0. The update is the sum of the p_j.
///
/// Reading. The printed update divides by |g_i|^2 and subtracts along g_i, while its comment speaks of the projection onto g_i^PC
/// and the text of leaving the first task unchanged. With p_i throughout, the default here, both hold: the first task keeps its
/// gradient, and a task once drawn is orthogonal to every later one or agrees with it. So only later tasks have to be checked
/// (T (T-1) / 2 checks), and no pair of conflicting p is left. As printed, conflicts stay in nearly every draw with T >= 3;
/// `literal_algorithm_2` is for comparison. At T = 2 both are the same.
///
/// "T_i ~ D in random order" is read as a draw without replacement with renormalised probabilities (Plackett-Luce): Gumbel keys
/// log p_i + Gamma_i in falling order, from Philox(seed, step, i), the same on all ranks. A step without any conflict keeps every
/// gradient and draws nothing.
///
/// In terms of the Gram matrix: p_j = sum_k c_jk g_k and P_jk = <p_j, p_k> start at c = I, P = G. Drawing i with a_j = P_ij /
/// P_ii for later j in conflict, else 0: c_j -= a_j c_i, and P_jk -= P_ij P_ik / P_ii wherever j or k is in conflict. The weight
/// of task k is the column sum of c. A p_i with |p_i|^2 <= 1e-12 |g_i|^2 is rounding noise and nothing is projected along it.
///
/// Rounding and range. A P_ij < 0 that is only rounding moves p_j by rounding, since what is subtracted is proportional to it.
/// The sign of a rounding error decides nothing else (random orders do not depend on it), so no threshold is needed. The
/// quotients P_ij / P_ii are formed first, and never a product of two P, so gradients of 1e-150 and 1e150 are projected alike.
///
/// `Distribution` is DTP, PhaseSchedule or a custom struct with the same members: name, needs_losses, state_size, initialise,
/// and a call operator that writes log p_i of the present tasks up to a constant (-infinity for a task that is drawn last).
///
/// Needs the Gram matrix over all shared parameters, and the losses if the distribution does; heads get plain gradients.
template <class Distribution = DTP>
struct WPCGrad {
  static constexpr const char* name = "wPCGrad";
  static constexpr Needs needs{true, Distribution::needs_losses};
  static constexpr Surface default_surface = Surface::all_shared;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  WPCGradOptions options;
  Distribution distribution;

  WPCGrad() = default;
  explicit WPCGrad(const WPCGradOptions& chosen) : options(chosen) {}
  explicit WPCGrad(const Distribution& tasks, const WPCGradOptions& chosen = {}) : options(chosen), distribution(tasks) {}

  FULLER_HD int state_size(int tasks) const { return distribution.state_size(tasks); }
  FULLER_HD int scratch_size(int tasks) const { return 3 * tasks * tasks + 4 * tasks + 2 * detail::doubles_for_bytes(tasks); }
  /// @throws Error for what the distribution refuses.
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    distribution.initialise(tasks, state);
  }

  /// @throws Error for what the distribution refuses in a saved state, where it says so.
  void check_state([[maybe_unused]] int tasks, [[maybe_unused]] const double* state) const {
    if constexpr (detail::rule_checks_state<Distribution>::value) {
      distribution.check_state(tasks, state);
    }
  }

  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    detail::Scratch work(scratch);
    double* const log_p = work.doubles(T);
    double* const keys = work.doubles(T);
    double* const a = work.doubles(T);
    double* const products = work.doubles(T);
    std::uint8_t* const index = work.bytes(T);
    std::uint8_t* const order = work.bytes(T);
    distribution(lanes, evidence, state, log_p);
    const int K = detail::present_tasks(lanes, evidence, index);
    double* const c = work.doubles(K * K);
    double* const P = work.doubles(K * K);
    const double* const G = detail::present_gram(lanes, evidence, index, K, work.rest());

    bool conflict = false;
    for (int j = 0; j < K && !conflict; ++j) {
      for (int k = 0; k < j; ++k) {
        conflict = conflict || G[j * K + k] < 0;
      }
    }
    detail::clear_absent(lanes, evidence, weights);
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      weights[index[j]] = 1;
    }
    lanes.sync();
    if (!conflict) {
      return;
    }
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      for (int k = 0; k < K; ++k) {
        c[j * K + k] = j == k ? 1 : 0;
        P[j * K + k] = G[j * K + k];
      }
      keys[j] = gumbel_key(log_p[index[j]], options.seed, evidence.step, static_cast<std::uint32_t>(j));
    }
    lanes.sync();
    sort_downwards(lanes, K, keys, order);
    if (options.literal_algorithm_2) {
      project_along_raw(lanes, K, G, order, c, P, a, products);
    } else {
      project_along_current(lanes, K, G, order, c, P);
    }
    for (int k = lanes.index(); k < K; k += Lanes::count) {
      double sum = 0;
      for (int j = 0; j < K; ++j) {
        sum += c[j * K + k];
      }
      weights[index[k]] = sum;
    }
    lanes.sync();
  }

 private:
  static constexpr double noise = 1e-12;

  /// order[r] = the item with the r-th largest key; among equal keys, the lower item first.
  template <class Lanes>
  FULLER_HD static void sort_downwards(Lanes lanes, int K, const double* keys, std::uint8_t* order) {
    for (int j = lanes.index(); j < K; j += Lanes::count) {
      int rank = 0;
      for (int k = 0; k < K; ++k) {
        rank += keys[k] > keys[j] || (keys[k] == keys[j] && k < j) ? 1 : 0;
      }
      order[rank] = static_cast<std::uint8_t>(j);
    }
    lanes.sync();
  }

  template <class Lanes>
  FULLER_HD static void project_along_current(Lanes lanes, int K, const double* G, const std::uint8_t* order, double* c,
                                              double* P) {
    for (int r = 0; r + 1 < K; ++r) {
      const int i = order[r];
      const double* const P_i = P + i * K;
      const double* const c_i = c + i * K;
      if (!(P_i[i] > noise * G[i * K + i])) {
        continue;
      }
      for (int q = r + 1 + lanes.index(); q < K; q += Lanes::count) {
        const int j = order[q];
        double* const P_j = P + j * K;
        double* const c_j = c + j * K;
        const double a_j = P_i[j] / P_i[i];
        if (a_j < 0) {
          for (int k = 0; k < K; ++k) {
            c_j[k] -= a_j * c_i[k];
          }
          for (int s = r + 1; s < K; ++s) {
            const int k = order[s];
            P_j[k] -= a_j * P_i[k];
          }
        } else {
          for (int s = r + 1; s < K; ++s) {
            const int k = order[s];
            if (P_i[k] < 0) {
              P_j[k] -= a_j * P_i[k];
            }
          }
        }
      }
      lanes.sync();
    }
  }

  template <class Lanes>
  FULLER_HD static void project_along_raw(Lanes lanes, int K, const double* G, const std::uint8_t* order, double* c, double* P,
                                          double* a, double* products) {
    for (int r = 0; r < K; ++r) {
      const int i = order[r];
      const double* const G_i = G + i * K;
      bool conflict = false;
      for (int j = 0; j < K; ++j) {
        conflict = conflict || (j != i && P[i * K + j] < 0);
      }
      if (!conflict) {
        continue;
      }
      for (int j = lanes.index(); j < K; j += Lanes::count) {
        a[j] = j != i && P[i * K + j] < 0 ? P[i * K + j] / G_i[i] : 0;
        double product = 0;  // <g_i, p_j>
        for (int k = 0; k < K; ++k) {
          product += c[j * K + k] * G_i[k];
        }
        products[j] = product;
      }
      lanes.sync();
      for (int j = lanes.index(); j < K; j += Lanes::count) {
        c[j * K + i] -= a[j];
        for (int k = 0; k < K; ++k) {
          P[j * K + k] -= a[j] * products[k] + a[k] * products[j] - a[j] * (a[k] * G_i[i]);
        }
      }
      lanes.sync();
    }
  }
};

WPCGrad()->WPCGrad<DTP>;
WPCGrad(WPCGradOptions)->WPCGrad<DTP>;
template <class Distribution>
WPCGrad(Distribution, WPCGradOptions) -> WPCGrad<Distribution>;

}  // namespace v0_1
}  // namespace fuller
