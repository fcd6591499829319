// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/lanes.hpp>
#include <fuller/core/task_vector.hpp>
#include <fuller/gates/law.hpp>
#include <fuller/gates/levels.hpp>
#include <fuller/gates/norms.hpp>

namespace fuller {
inline namespace v0_1 {

/// The function sigma of Eq. 6 for a branch that is ahead, r = x / y > 1.
enum class GateShape {
  paper,       ///< 1 - tanh(alpha r), Eq. 6: jumps from 1 to 1 - tanh(alpha) as r passes 1
  continuous,  ///< 1 - tanh(alpha (r - 1))
};

/// Options of ModalityGate; initialise() refuses those out of range.
struct ModalityGateOptions {
  /// alpha > 0 of Eq. 6.
  double alpha = 0.1;
  /// m in [0, 1) of Eq. 7: the share of the old gate; larger is smoother.
  double momentum = 0.2;
  /// The smallest gate, in (0, 1]: Eq. 5 excludes 0, which rounding would give. A floor of 1 makes a gate that only measures:
  /// every scale is exactly 1, nothing is changed, and the norms and gamma_modal can still be read.
  double floor = 1e-6;
  /// The norm in which branches are compared.
  GateNorm norm = GateNorm::l2;
  GateShape shape = GateShape::paper;
  /// What the gates multiply, unless modalities() is told; the gates are the same either way.
  GateTarget target = GateTarget::gradient;
};

/// The modality gate of FULLER (ICCV 2023), Eq. 5-8. With n_m the norm of the gradient of the slice of the first fusion weight
/// that reads branch m,
///   sigma(x, y) = 1 - tanh(alpha x / y) if x / y > 1, else 1          (6)
///   w_m <- momentum w_m + (1 - momentum) sigma(n_m, y_m)              (5, 7)
/// and branch m's gradient is multiplied with w_m (8). Gates start at 1.
///
/// The paper has two branches, and y_m is the norm of the other; with more branches, y_m is the mean of the other norms. Norms
/// are those under the task weights (Algorithm 1, lines 6-7). Eq. 7 is taken as printed: momentum 0.2 keeps 20 % of the old gate.
/// Under the paper's shape, what is left of an imbalance, r (1 - tanh(alpha r)), is at most 0.27846 / alpha, at r = 0.639 /
/// alpha, and falls below 1 from r = 1.769 / alpha on (alpha = 0.1): the gate then overshoots.
///
/// Rounding. Norms that are equal in exact arithmetic differ by a rounding error in doubles, and Eq. 6 jumps there, so r within
/// 1e-12 of 1 counts as 1. The rounding of the gradients themselves is not known here (in float some 1e-7 of a norm);
/// `GateShape::continuous` has no jump that it could decide.
///
/// A branch takes no part if its modality is absent, or if its norm is 0, NaN, infinite or at most 1e-13 of the longest (rounding
/// noise). Its scale is then 1 in this step, its gate stays as it was, and the others are compared among themselves. If only one
/// is left, or none, there is nothing to compare: scales are 1, gates stay. (The literal ratio would be infinite and silence the
/// only branch that works.)
///
/// State: M gates. Out: M scales in (0, 1]. A gate law (`gates/law.hpp`); deterministic, allocates nothing.
struct ModalityGate {
  static constexpr const char* name = "FULLER gate";
  static constexpr int capacity = TaskVector::capacity;

  ModalityGateOptions options;

  ModalityGate() = default;
  explicit ModalityGate(const ModalityGateOptions& chosen) : options(chosen) {}

  GateTarget target() const { return options.target; }
  GateNorm norm() const { return options.norm; }
  bool only_measures() const { return options.floor == 1; }

  FULLER_HD int state_size(int branches) const { return branches; }
  FULLER_HD int scratch_size(int branches) const { return branches; }
  /// @throws Error for fewer than two branches, or an option outside its range.
  void initialise(int branches, double* state) const {
    detail::require_branch_count("ModalityGate", branches);
    detail::require_positive("ModalityGate: option alpha", options.alpha);
    detail::require("ModalityGate: option momentum", options.momentum, options.momentum >= 0 && options.momentum < 1, "[0, 1)");
    detail::require("ModalityGate: option floor", options.floor, options.floor > 0 && options.floor <= 1, "(0, 1]");
    for (int m = 0; m < branches; ++m) {
      state[m] = 1;
    }
  }

  /// Refuses gates that no step leaves, such as those of a damaged file.
  /// @throws Error unless every gate lies in (0, 1].
  void check_state(int branches, const double* state) const {
    for (int m = 0; m < branches; ++m) {
      detail::require_saved(name, "gate", m, state[m], state[m] > 0 && state[m] <= 1);
    }
  }
  /// The same of saved scales: a scale is a gate, or 1.
  void check_scales(int branches, const double* scales) const { check_state(branches, scales); }

  template <class Lanes, int Branches>
  FULLER_HD void operator()(Lanes lanes, const BranchEvidence<Branches>& evidence, double* state, double* scales,
                            double* scratch) const {
    const int M = evidence.branches();
    double* const n = scratch;
    const int compared = detail::compare_branches(lanes, evidence, GateEvidence::norms, options.norm, n);
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      scales[m] = 1;
      if (n[m] > 0 && compared > 1) {
        const double r = n[m] / detail::mean_of_others(n, M, compared, m);
        state[m] = options.momentum * state[m] + (1 - options.momentum) * sigma(r);
        scales[m] = state[m];
      }
    }
    lanes.sync();
  }

 private:
  /// Eq. 6 of r = x / y.
  FULLER_HD double sigma(double r) const {
    if (!(r > 1 + detail::rounding_noise)) {
      return 1;
    }
    const double z = options.alpha * (options.shape == GateShape::paper ? r : r - 1);
    return detail::larger(detail::one_minus_tanh(z), options.floor);
  }
};

}  // namespace v0_1
}  // namespace fuller
