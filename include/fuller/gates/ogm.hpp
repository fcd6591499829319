// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/lanes.hpp>
#include <fuller/gates/law.hpp>
#include <fuller/gates/levels.hpp>
#include <fuller/gates/norms.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of OGM; initialise() refuses those out of range.
struct OGMOptions {
  /// alpha > 0. The authors' program has no default; they and others use 0.1 to 0.8.
  double alpha = 0.3;
  /// The smallest scale, in (0, 1]: rounding would give 0, which stops a branch.
  double floor = 1e-6;
  /// What the scales multiply, unless modalities() is told.
  GateTarget target = GateTarget::gradient;
};

/// OGM, on-the-fly gradient modulation (Peng et al., CVPR 2022). With s_m the score of branch m, in the paper the sum over the
/// batch of the probability that a unimodal head gives to the truth,
///   rho_m = s_m / mean of the other s
///   k_m = 1 - tanh(alpha rho_m) if rho_m > 1, else 1
/// and branch m's gradient is multiplied with k_m. FULLER's gate came from this one: it has norms in place of scores, and a
/// memory. The jump from 1 to 1 - tanh(alpha) as rho_m passes 1 is the same.
///
/// The paper has two branches; with more, s_m is compared with the mean of the others. (BalanceBenchmark compares three by the
/// cosine of logits, and divides only the last one's ratio, since the line that should divide each is outside the loop.)
/// The paper's second half, noise with the deviation of each gradient (OGM-GE), is no scale and is left to the trainer.
///
/// Scores come by Calibration::scores(); a common factor changes nothing. rho within 1e-12 of 1 counts as 1, so that branches
/// whose scores differ only by rounding are left alone. A branch that is absent, or whose score is no number > 0, takes no part:
/// its scale is 1, and the others are compared among themselves.
///
/// No state. Out: M scales in (0, 1]. A gate law (`gates/law.hpp`); deterministic, allocates nothing.
struct OGM {
  static constexpr const char* name = "OGM";

  OGMOptions options;

  OGM() = default;
  explicit OGM(const OGMOptions& chosen) : options(chosen) {}

  GateTarget target() const { return options.target; }
  GateEvidence evidence() const { return GateEvidence::scores; }
  bool divides_scores() const { return true; }

  FULLER_HD int state_size(int /*branches*/) const { return 0; }
  FULLER_HD int scratch_size(int branches) const { return branches; }
  /// @throws Error for fewer than two branches, or an option outside its range.
  void initialise(int branches, double* /*state*/) const {
    detail::require_branch_count("OGM", branches);
    detail::require_positive("OGM: option alpha", options.alpha);
    detail::require("OGM: option floor", options.floor, options.floor > 0 && options.floor <= 1, "(0, 1]");
  }

  /// @throws Error unless every saved scale lies in (0, 1].
  void check_scales(int branches, const double* scales) const {
    for (int m = 0; m < branches; ++m) {
      detail::require_saved(name, "scale", m, scales[m], scales[m] > 0 && scales[m] <= 1);
    }
  }

  template <class Lanes, int Branches>
  FULLER_HD void operator()(Lanes lanes, const BranchEvidence<Branches>& evidence, double* /*state*/, double* scales,
                            double* scratch) const {
    const int M = evidence.branches();
    double* const s = scratch;
    const int compared = detail::compare_branches(lanes, evidence, GateEvidence::scores, GateNorm::l2, s);
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      scales[m] = s[m] > 0 && compared > 1 ? scale(s[m] / detail::mean_of_others(s, M, compared, m)) : 1;
    }
    lanes.sync();
  }

 private:
  FULLER_HD double scale(double rho) const {
    return rho > 1 + detail::rounding_noise ? detail::larger(detail::one_minus_tanh(options.alpha * rho), options.floor) : 1;
  }
};

}  // namespace v0_1
}  // namespace fuller
