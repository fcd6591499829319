// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/lanes.hpp>
#include <fuller/core/task_vector.hpp>
#include <fuller/gates/law.hpp>
#include <fuller/gates/levels.hpp>

namespace fuller {
inline namespace v0_1 {

/// Options of CGGM; initialise() refuses those out of range.
struct CGGMOptions {
  /// rho in (0, 64], or 0 for M / (M - 1), which leaves branches that gain equally alone. The authors use 1.0 to 1.3.
  double rho = 0;
  /// What the scales multiply, unless modalities() is told.
  GateTarget target = GateTarget::gradient;
};

/// CGGM, classifier-guided gradient modulation (Guo et al., NeurIPS 2024), its scaling of magnitudes. With e_m the metric of a
/// small head on branch m alone (accuracy, IoU, the negative of an error), and D_m what it gained since the last step,
///   k_m = rho (sum D - D_m) / sum D, clamped to [0, M]
/// and branch m's gradient is multiplied with k_m: a branch gets the share of the gain that the others made.
///
/// The published formula has no clamp, and adds 1e-8 to the last sum: as the gains cancel, its k_m become arbitrarily large, of
/// either sign. Here they stay within [0, M]; where the gains cancel to 1e-12 of the metrics, or there are none, scales are 1.
/// Where the sum is negative the formula is taken as printed: the branch that lost most is slowed most.
/// The paper's second half is a loss that turns branches towards the fused gradient, and no scale, so it is left to the trainer.
/// (For it, the public programs take cosines of parameters in place of their gradients; the program for four modalities scales
/// parameters by two names that its branches do not have.)
///
/// Scores come by Calibration::scores(), best smoothed over some steps: the metric of one batch moves more by chance than by
/// learning. One number added to all scores, or multiplied into all, changes nothing. A branch takes no part if it is absent, if
/// its score is not finite, or if it has no score from an earlier step: its scale is 1, and the others are compared among
/// themselves; M is their number.
///
/// State: M last scores, M flags that say whether there was one. Out: M scales in [0, M]. A gate law (`gates/law.hpp`);
/// deterministic, allocates nothing.
struct CGGM {
  static constexpr const char* name = "CGGM";

  CGGMOptions options;

  CGGM() = default;
  explicit CGGM(const CGGMOptions& chosen) : options(chosen) {}

  GateTarget target() const { return options.target; }
  GateEvidence evidence() const { return GateEvidence::scores; }

  FULLER_HD int state_size(int branches) const { return 2 * branches; }
  FULLER_HD int scratch_size(int branches) const { return branches; }
  /// @throws Error for fewer than two branches, or an option outside its range.
  void initialise(int branches, double* state) const {
    detail::require_branch_count("CGGM", branches);
    detail::require("CGGM: option rho", options.rho, options.rho >= 0 && options.rho <= TaskVector::capacity, "[0, 64]");
    for (int k = 0; k < state_size(branches); ++k) {
      state[k] = 0;
    }
  }

  /// @throws Error for numbers that no step leaves in the state.
  void check_state(int branches, const double* state) const {
    for (int m = 0; m < branches; ++m) {
      const double seen = state[branches + m];
      detail::require_saved(name, "last score", m, state[m], detail::is_finite(state[m]));
      detail::require_saved(name, "flag", m, seen, seen == 0 || seen == 1);
    }
  }
  /// @throws Error unless every saved scale lies in [0, M].
  void check_scales(int branches, const double* scales) const {
    for (int m = 0; m < branches; ++m) {
      detail::require_saved(name, "scale", m, scales[m], scales[m] >= 0 && scales[m] <= branches);
    }
  }

  template <class Lanes, int Branches>
  FULLER_HD void operator()(Lanes lanes, const BranchEvidence<Branches>& evidence, double* state, double* scales,
                            double* scratch) const {
    const int M = evidence.branches();
    double* const last = state;
    double* const seen = state + M;
    double* const gain = scratch;
    int compared = 0;
    double all = 0;
    double size = 0;
    for (int m = 0; m < M; ++m) {
      if (takes_part(evidence, seen, m)) {
        compared += 1;
        all += evidence.scores[m] - last[m];
        size += std::fabs(evidence.scores[m]) + std::fabs(last[m]);
      }
    }
    const bool cancels = !(std::fabs(all) > detail::rounding_noise * size) || !detail::is_finite(all);
    const double rho = options.rho > 0 || compared < 2 ? options.rho : static_cast<double>(compared) / (compared - 1);
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      gain[m] = takes_part(evidence, seen, m) ? evidence.scores[m] - last[m] : 0;
    }
    lanes.sync();
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      scales[m] = 1;
      if (takes_part(evidence, seen, m) && compared > 1 && !cancels) {
        double others = 0;
        for (int k = 0; k < M; ++k) {
          others += k != m ? gain[k] : 0;
        }
        const double share = rho * (others / all);
        scales[m] = share > 0 ? (share < compared ? share : compared) : 0;
      }
    }
    lanes.sync();
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      if (detail::has_score(evidence, m)) {
        last[m] = evidence.scores[m];
        seen[m] = 1;
      }
    }
    lanes.sync();
  }

 private:
  template <int Branches>
  FULLER_HD static bool takes_part(const BranchEvidence<Branches>& evidence, const double* seen, int m) {
    return detail::has_score(evidence, m) && seen[m] != 0;
  }
};

}  // namespace v0_1
}  // namespace fuller
