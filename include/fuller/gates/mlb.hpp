// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/lanes.hpp>
#include <fuller/gates/law.hpp>
#include <fuller/gates/levels.hpp>
#include <fuller/gates/norms.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of MLB; initialise() refuses those out of range.
struct MLBOptions {
  /// By what branches are compared. The paper has scores of unimodal heads; norms need no head.
  GateEvidence evidence = GateEvidence::norms;
  /// alpha in (0, 100]: how strongly a scale responds to an imbalance.
  double alpha = 0.5;
  /// beta in [1, 100]: what the scale of a weak branch tends to. 2 is the paper's form; with 1 no branch gains.
  double beta = 2;
  /// The norm in which branches are compared, under GateEvidence::norms.
  GateNorm norm = GateNorm::l2;
  /// What the scales multiply, unless modalities() is told.
  GateTarget target = GateTarget::gradient;
};

/// MLB, multi-loss balancing (Kontras et al., BMVC 2024). With s_m the norm or score of branch m, and
///   r_m = mean of the other s / s_m
/// branch m's gradient is multiplied with
///   k_m = 1 + tanh(alpha (r_m - 1))                     where r_m <= 1: it is ahead, and slows down
///   k_m = 1 + (beta - 1) tanh(alpha (r_m - 1))          where r_m > 1:  it lags, and gains
/// So a balanced network is left alone (k = 1), with no jump there, and a weak branch may move farther than in a plain step,
/// which a gate that only slows the others cannot do. The limits of k_m are 1 - tanh(alpha) and beta.
///
/// The paper's s_m is the mean probability of the truth by a unimodal head, whose loss is part of the sum. Here s_m may also be
/// the norm of the branch's slice of the fusion weight's gradient (Eq. 4 of FULLER), for which nothing has to be added to a
/// network. The public code has two and three branches and forms r_m from the mean of the others, as is done here for any number.
///
/// A branch that is absent, or whose norm or score is no number > 0, takes no part: its scale is 1, and the others are compared
/// among themselves. One number multiplied into all norms, or all scores, changes nothing.
///
/// No state. Out: M scales in (0, beta]. A gate law (`gates/law.hpp`); deterministic, allocates nothing.
struct MLB {
  static constexpr const char* name = "MLB";

  MLBOptions options;

  MLB() = default;
  explicit MLB(const MLBOptions& chosen) : options(chosen) {}

  GateTarget target() const { return options.target; }
  GateNorm norm() const { return options.norm; }
  GateEvidence evidence() const { return options.evidence; }
  bool divides_scores() const { return true; }

  FULLER_HD int state_size(int /*branches*/) const { return 0; }
  FULLER_HD int scratch_size(int branches) const { return branches; }
  /// @throws Error for fewer than two branches, or an option outside its range.
  void initialise(int branches, double* /*state*/) const {
    detail::require_branch_count("MLB", branches);
    detail::require("MLB: option alpha", options.alpha, options.alpha > 0 && options.alpha <= 100, "(0, 100]");
    detail::require("MLB: option beta", options.beta, options.beta >= 1 && options.beta <= 100, "[1, 100]");
  }

  /// @throws Error unless every saved scale lies in (0, beta].
  void check_scales(int branches, const double* scales) const {
    for (int m = 0; m < branches; ++m) {
      detail::require_saved(name, "scale", m, scales[m], scales[m] > 0 && scales[m] <= options.beta);
    }
  }

  template <class Lanes, int Branches>
  FULLER_HD void operator()(Lanes lanes, const BranchEvidence<Branches>& evidence, double* /*state*/, double* scales,
                            double* scratch) const {
    const int M = evidence.branches();
    double* const s = scratch;
    const int compared = detail::compare_branches(lanes, evidence, options.evidence, options.norm, s);
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      scales[m] = s[m] > 0 && compared > 1 ? scale(detail::mean_of_others(s, M, compared, m) / s[m]) : 1;
    }
    lanes.sync();
  }

 private:
  FULLER_HD double scale(double r) const {
    return r > 1 ? 1 + (options.beta - 1) * (1 - detail::one_minus_tanh(options.alpha * (r - 1)))
                 : detail::one_minus_tanh(options.alpha * (1 - r));
  }
};

}  // namespace v0_1
}  // namespace fuller
