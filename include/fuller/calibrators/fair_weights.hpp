// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/linear_algebra.hpp>
#include <fuller/core/present_tasks.hpp>
#include <fuller/core/scratch.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Solves G a = a^(-1/alpha), a > 0: the weights of alpha-fair rules and, for alpha = 1, of Nash bargaining.
///
/// With a_i = kappa b_i / n_i, C the cosines and kappa = n_max^((1 - alpha) / (1 + alpha)) it reads C b = p,
/// p_i = e_i b_i^(-1/alpha), e_i = (n_i / n_max)^((1 - alpha) / alpha): where the strictly convex
/// phi(b) = b^T C b / 2 - sum_i e_i int b_i^(-1/alpha) has its minimum. Damped Newton in relative changes delta = db / b, with
/// Hessian b C b + diag(b p) / alpha, whose smallest pivot for alpha = 1 is 1; before each step b is scaled to the minimum along
/// its ray, which has a closed form. A step goes along b (1 + t delta) where delta > 0, and b / (1 - t delta) where delta is
/// negative, so that b stays positive and can fall by any factor; t is halved until phi no longer rises steeply at its end.
///
/// For gradients that can cancel there is no finite solution: C + ridge I bounds b by about sqrt(T / ridge) for alpha = 1, and
/// rounding errors by 1e-16 / ridge.
struct FairWeights {
  double alpha;
  double ridge;

  FULLER_HD static int scratch_size(int tasks) { return 2 * tasks * tasks + 9 * tasks + doubles_for_bytes(tasks); }

  /// Writes a, for gradients without the loss scale, and 0 for absent tasks; returns |sum_i a_i g_i|.
  template <class Lanes, int Tasks>
  FULLER_NOINLINE FULLER_HD double operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* weights,
                                              double* scratch) const {
    const int T = evidence.tasks();
    Scratch work(scratch);
    double* const n = work.doubles(T);
    Iterate at{work.doubles(T), work.doubles(T), work.doubles(T)};
    double* const e = work.doubles(T);
    double* const delta = work.doubles(T);
    Iterate tried{work.doubles(T), work.doubles(T), work.doubles(T)};
    std::uint8_t* const index = work.bytes(T);
    const int K = present_tasks(lanes, evidence, index);
    double* const C = work.doubles(K * K);
    double* const H = work.doubles(K * K);
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      n[i] = evidence.norm(index[i]);
    }
    lanes.sync();
    double n_max = 0;
    for (int i = 0; i < K; ++i) {
      n_max = larger(n_max, n[i]);
    }
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      e[i] = alpha == 1 ? 1 : std::pow(n[i] / n_max, (1 - alpha) / alpha);
      at.b[i] = alpha == 1 ? 1 : std::pow(n[i] / n_max, (1 - alpha) / (1 + alpha));  // the solution for orthogonal gradients
      for (int j = 0; j < K; ++j) {
        C[i * K + j] = i == j ? 1 + ridge : evidence.dot(index[i], index[j]) / (n[i] * n[j]);
      }
    }
    lanes.sync();
    evaluate(lanes, K, C, e, at);
    for (int round = 0; round < most_rounds; ++round) {
      to_minimum_of_ray(lanes, K, at);
      if (newton(lanes, K, C, e, H, at, tried, delta) < converged) {
        break;
      }
    }

    double square = 0;
    for (int i = 0; i < K; ++i) {
      square += at.b[i] * (at.y[i] - ridge * at.b[i]);
    }
    const double longest = n_max / evidence.loss_scale;
    const double kappa = alpha == 1 ? 1 : std::pow(longest, (1 - alpha) / (1 + alpha));
    clear_absent(lanes, evidence, weights);
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      weights[index[i]] = kappa * at.b[i] / (n[i] / evidence.loss_scale);
    }
    lanes.sync();
    return kappa * std::sqrt(larger(square, 0));
  }

 private:
  static constexpr int most_rounds = 60;
  static constexpr int most_halvings = 40;
  static constexpr double converged = 1e-10;  // Newton's next step would be the square of it

  struct Iterate {
    double* b;
    double* y;  ///< C b
    double* p;
  };

  FULLER_HD double power(double b) const { return alpha == 1 ? 1 / b : std::pow(b, -1 / alpha); }

  template <class Lanes>
  FULLER_HD static void multiply(Lanes lanes, int K, const double* C, const double* x, double* product) {
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      double sum = 0;
      for (int j = 0; j < K; ++j) {
        sum += C[i * K + j] * x[j];
      }
      product[i] = sum;
    }
    lanes.sync();
  }

  template <class Lanes>
  FULLER_HD void evaluate(Lanes lanes, int K, const double* C, const double* e, const Iterate& at) const {
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      at.p[i] = e[i] * power(at.b[i]);
    }
    multiply(lanes, K, C, at.b, at.y);
  }

  /// phi's derivative along b is b^T y - b^T p, and 0 for b scaled by (b^T p / b^T y)^(alpha / (1 + alpha)).
  template <class Lanes>
  FULLER_HD void to_minimum_of_ray(Lanes lanes, int K, const Iterate& at) const {
    double by = 0;
    double bp = 0;
    for (int i = 0; i < K; ++i) {
      by += at.b[i] * at.y[i];
      bp += at.b[i] * at.p[i];
    }
    const double factor = alpha == 1 ? std::sqrt(bp / by) : std::pow(bp / by, alpha / (1 + alpha));
    const double of_p = power(factor);
    lanes.sync();
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      at.b[i] *= factor;
      at.y[i] *= factor;
      at.p[i] *= of_p;
    }
    lanes.sync();
  }

  /// One damped step, by which `at` and `tried` change places; returns the largest relative change that Newton asks for.
  template <class Lanes>
  FULLER_NOINLINE FULLER_HD double newton(Lanes lanes, int K, const double* C, const double* e, double* H, Iterate& at,
                                          Iterate& tried, double* delta) const {
    for (int i = lanes.index(); i < K; i += Lanes::count) {
      delta[i] = at.b[i] * (at.p[i] - at.y[i]);
      for (int j = i; j < K; ++j) {
        H[i * K + j] = at.b[i] * C[i * K + j] * at.b[j];
      }
      H[i * K + i] += at.b[i] * at.p[i] / alpha;
    }
    lanes.sync();
    if (!solve_positive_definite(lanes, K, H, delta, 0.0)) {
      return 0;
    }
    double largest = 0;
    double slope = 0;
    for (int i = 0; i < K; ++i) {
      largest = larger(largest, std::fabs(delta[i]));
      slope += delta[i] * at.b[i] * (at.y[i] - at.p[i]);
    }
    double t = 1;
    for (int halving = 0;; ++halving, t /= 2) {
      for (int i = lanes.index(); i < K; i += Lanes::count) {
        tried.b[i] = delta[i] < 0 ? at.b[i] / (1 - t * delta[i]) : at.b[i] * (1 + t * delta[i]);
      }
      lanes.sync();
      evaluate(lanes, K, C, e, tried);
      double slope_there = 0;
      for (int i = 0; i < K; ++i) {
        const double along = delta[i] < 0 ? tried.b[i] * delta[i] / (1 - t * delta[i]) : at.b[i] * delta[i];
        slope_there += along * (tried.y[i] - tried.p[i]);
      }
      if (slope_there <= -slope / 2 || halving == most_halvings) {
        break;
      }
      lanes.sync();
    }
    const Iterate before = at;
    at = tried;
    tried = before;
    lanes.sync();
    return largest;
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
