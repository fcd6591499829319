// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/lanes.hpp>
#include <fuller/gates/law.hpp>
#include <fuller/gates/levels.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of AGM; initialise() refuses those out of range.
struct AGMOptions {
  /// alpha in (0, 50].
  double alpha = 1;
  /// The largest r* - r that counts, in (0, 10]. In the authors' program it is 10: a branch that falls back gains up to
  /// e^(alpha 10).
  double most = 10;
  /// The smallest scale, in (0, 1]: rounding would give 0, which stops a branch.
  double floor = 1e-6;
  /// What the scales multiply, unless modalities() is told.
  GateTarget target = GateTarget::gradient;
};

/// AGM, adaptive gradient modulation (Li et al., ICCV 2023). With s_m the mean log-likelihood of the truth by branch m alone
/// (log p, the negative of a cross-entropy), and S_m its mean over the steps so far, this one included,
///   r_m  = exp(s_m - mean of the other s)         how far branch m is ahead
///   r*_m = exp(S_m - mean of the other S)         how far it is as a rule
///   k_m  = exp(alpha (r*_m - r_m))
/// and branch m's gradient is multiplied with k_m: a branch that is further ahead than it usually is slows down.
///
/// In the paper, the output of a branch alone is its Shapley value: for two branches (f(a, v) - f(0, v) + f(a, 0)) / 2, by
/// forward passes whose inputs are zeroed. The trainer forms it, or takes the output of a unimodal head. With more than two
/// branches the paper's exponent, (mean s - s_m) M / (M - 1) of losses s, is the one above. The authors' program adds this step
/// to S before it is used for three branches, and after for two; here it is always before, so the first step is left alone.
/// (BalanceBenchmark has the sign the other way round at two branches, and clamps r* - r at 7.)
///
/// Scores come by Calibration::scores(), as logarithms: a loss goes in with its sign changed. A constant added to all of them
/// changes nothing. A branch that is absent, or whose score is not finite, takes no part: its scale is 1, its mean stays as it
/// was, and the others are compared among themselves.
///
/// State: M means, M numbers of steps. Out: M scales in (0, exp(alpha most)]. A gate law (`gates/law.hpp`); deterministic,
/// allocates nothing.
struct AGM {
  static constexpr const char* name = "AGM";

  AGMOptions options;

  AGM() = default;
  explicit AGM(const AGMOptions& chosen) : options(chosen) {}

  GateTarget target() const { return options.target; }
  GateEvidence evidence() const { return GateEvidence::scores; }

  FULLER_HD int state_size(int branches) const { return 2 * branches; }
  FULLER_HD int scratch_size(int /*branches*/) const { return 0; }
  /// @throws Error for fewer than two branches, or an option outside its range.
  void initialise(int branches, double* state) const {
    detail::require_branch_count("AGM", branches);
    detail::require("AGM: option alpha", options.alpha, options.alpha > 0 && options.alpha <= 50, "(0, 50]");
    detail::require("AGM: option most", options.most, options.most > 0 && options.most <= 10, "(0, 10]");
    detail::require("AGM: option floor", options.floor, options.floor > 0 && options.floor <= 1, "(0, 1]");
    for (int k = 0; k < state_size(branches); ++k) {
      state[k] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int branches, const double* state) const {
    for (int m = 0; m < branches; ++m) {
      const double steps = state[branches + m];
      detail::require_saved(name, "mean score", m, state[m], detail::is_finite(state[m]));
      detail::require_saved(name, "number of steps", m, steps, detail::is_finite(steps) && steps >= 0);
    }
  }
  /// @throws Error unless every saved scale is finite and > 0.
  void check_scales(int branches, const double* scales) const {
    for (int m = 0; m < branches; ++m) {
      detail::require_saved(name, "scale", m, scales[m], scales[m] > 0 && detail::is_finite(scales[m]));
    }
  }

  template <class Lanes, int Branches>
  FULLER_HD void operator()(Lanes lanes, const BranchEvidence<Branches>& evidence, double* state, double* scales,
                            double* /*scratch*/) const {
    const int M = evidence.branches();
    double* const mean = state;
    double* const steps = state + M;
    int compared = 0;
    for (int m = 0; m < M; ++m) {
      compared += detail::has_score(evidence, m) ? 1 : 0;
    }
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      if (detail::has_score(evidence, m)) {
        steps[m] += 1;
        mean[m] += (evidence.scores[m] - mean[m]) / steps[m];
      }
    }
    lanes.sync();
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      scales[m] = 1;
      if (detail::has_score(evidence, m) && compared > 1) {
        const double gap = ahead(evidence, mean, compared, m) - ahead(evidence, evidence.scores, compared, m);
        scales[m] = detail::larger(std::exp(options.alpha * (gap < options.most ? gap : options.most)), options.floor);
      }
    }
    lanes.sync();
  }

 private:
  /// exp(s_m - mean of the other s) over the branches that take part; kept finite, so that two of these have a difference.
  template <int Branches>
  FULLER_HD static double ahead(const BranchEvidence<Branches>& evidence, const double* s, int compared, int m) {
    double lead = 0;
    for (int k = 0; k < evidence.branches(); ++k) {
      lead += k != m && detail::has_score(evidence, k) ? (s[m] - s[k]) / (compared - 1) : 0;
    }
    return std::exp(lead < 700 ? lead : 700);
  }
};

}  // namespace v0_1
}  // namespace fuller
