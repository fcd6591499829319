// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/lanes.hpp>

namespace fuller {

/// How large a branch's gradient is called.
enum class GateNorm {
  l2,   ///< L2 norm of its slice, Eq. 4
  rms,  ///< L2 norm over the square root of the number of elements: free of the branches' widths
};

/// sigma where the branch is ahead, r = x / y > 1.
enum class GateStep {
  paper,       ///< 1 - tanh(alpha r), Eq. 6: jumps from 1 to 1 - tanh(alpha) as r passes 1
  continuous,  ///< 1 - tanh(alpha (r - 1))
};

/// What a gate is multiplied with.
enum class GateTarget {
  gradient,  ///< the branch's gradient, Eq. 8; an adaptive optimiser divides a lasting factor out again
  update,    ///< the step that the optimiser takes in the branch's parameters
};

struct ModalityGateOptions {
  /// alpha > 0 of Eq. 6.
  double alpha = 0.1;
  /// m in [0, 1) of Eq. 7: the share of the old gate; larger is smoother.
  double momentum = 0.2;
  /// No gate is smaller, in (0, 1]: Eq. 5 says (0, 1], and rounding would make it 0. 1 makes a gate that only measures: every
  /// scale is exactly 1, nothing is changed, and the norms and gamma_modal are there to be read.
  double floor = 1e-6;
  GateNorm norm = GateNorm::l2;
  GateStep step = GateStep::paper;
  /// Read by whoever applies the gates; the gates are the same.
  GateTarget target = GateTarget::gradient;
};

namespace detail {

template <int Branches>
FULLER_HD bool branch_is_seen(const BranchEvidence<Branches>& evidence, int m) {
  return evidence.present[m] != 0 && is_finite(evidence.squared_norms[m]) && evidence.squared_norms[m] > 0;
}

/// Squared norm at or below which a branch's gradient counts as 0: that of a thousand rounding errors of the longest.
template <int Branches>
FULLER_HD double zero_branch(const BranchEvidence<Branches>& evidence) {
  double longest = 0;
  for (int m = 0; m < evidence.branches(); ++m) {
    longest = branch_is_seen(evidence, m) ? larger(longest, evidence.squared_norms[m]) : longest;
  }
  return longest * zero_gradient * zero_gradient;
}

/// Norm of branch m; 0 where it is absent, and where its gradient is 0, rounding noise (`zero_branch`) or not finite.
template <int Branches>
FULLER_HD double branch_norm(const BranchEvidence<Branches>& evidence, GateNorm norm, int m, double zero) {
  const double square = evidence.squared_norms[m];
  if (!branch_is_seen(evidence, m) || !(square > zero)) {
    return 0;
  }
  return norm == GateNorm::rms ? std::sqrt(square / evidence.sizes[m]) : std::sqrt(square);
}

}  // namespace detail

/// gamma_modal, Eq. 4, as the ratio >= 1 of the largest to the smallest norm among the branches that have one above rounding
/// noise; 1 if fewer than two have. `evidence.sizes` is read for `rms` only.
template <int Branches>
FULLER_HD double gamma_modal(const BranchEvidence<Branches>& evidence, GateNorm norm = GateNorm::l2) {
  const double zero = detail::zero_branch(evidence);
  double smallest = detail::largest_double;
  double largest = 0;
  for (int m = 0; m < evidence.branches(); ++m) {
    const double n = detail::branch_norm(evidence, norm, m, zero);
    if (n > 0) {
      smallest = n < smallest ? n : smallest;
      largest = detail::larger(largest, n);
    }
  }
  return largest > 0 ? largest / smallest : 1;
}

/// The modality gate of FULLER (ICCV 2023), Eq. 5-8: with n_m the norm of the gradient of that slice of the first fusion weight
/// which reads branch m,
///   sigma(x, y) = 1 - tanh(alpha x / y) if x / y > 1, else 1          (6)
///   w_m <- momentum w_m + (1 - momentum) sigma(n_m, y_m)              (5, 7)
/// and branch m's gradient is multiplied with w_m (8). Gates start at 1.
///
/// The paper has two branches, y_m the other's norm; for more, y_m is the mean of the other norms. Norms are those under the task
/// weights (Algorithm 1, lines 6-7). Eq. 7 is taken as printed: momentum 0.2 keeps 20 % of the old gate.
/// Under the paper's step, what is left of an imbalance, r (1 - tanh(alpha r)), is at most 0.27846 / alpha, at r = 0.639 / alpha,
/// and falls below 1 from r = 1.769 / alpha on (alpha = 0.1): the gate then overshoots.
///
/// Rounding. Branches that are equal by mathematics are so in doubles to a rounding error, and Eq. 6 jumps there: r within 1e-12
/// of 1 counts as 1. The gradients' own rounding is not known here (float: some 1e-7 of a norm); `GateStep::continuous` has no
/// jump for it to decide.
///
/// A branch whose modality is absent, or whose norm is 0, NaN, infinite or at most 1e-13 of the longest (rounding noise), takes
/// no part: its scale is 1 in this step, its gate stays as it was, and the others are compared among themselves. If only one is
/// left, or none, there is nothing to compare: scales are 1, gates stay. (The literal ratio would be infinite and silence the
/// only branch that works.)
///
/// State: M gates. Out: M scales in (0, 1]. Same form of call as a rule's; deterministic, allocates nothing.
struct ModalityGate {
  static constexpr const char* name = "FULLER gate";
  static constexpr int capacity = TaskVector::capacity;

  ModalityGateOptions options;

  ModalityGate() = default;
  explicit ModalityGate(const ModalityGateOptions& chosen) : options(chosen) {}

  FULLER_HD int state_size(int branches) const { return branches; }
  FULLER_HD int scratch_size(int branches) const { return branches; }
  /// @throws Error for fewer than two branches, or an option outside its range.
  void initialise(int branches, double* state) const {
    if (branches < 2 || branches > capacity) {
      detail::fail("ModalityGate is asked for ", branches, " branches; it takes 2 to ", capacity);
    }
    detail::require_positive("ModalityGate: option alpha", options.alpha);
    detail::require("ModalityGate: option momentum", options.momentum, options.momentum >= 0 && options.momentum < 1, "[0, 1)");
    detail::require("ModalityGate: option floor", options.floor, options.floor > 0 && options.floor <= 1, "(0, 1]");
    for (int m = 0; m < branches; ++m) {
      state[m] = 1;
    }
  }

  /// Refuses gates that no steps can have left, such as those from a damaged file.
  /// @throws Error unless every gate lies in (0, 1].
  void check_state(int branches, const double* state) const {
    for (int m = 0; m < branches; ++m) {
      detail::require_saved(name, "gate", m, state[m], state[m] > 0 && state[m] <= 1);
    }
  }

  template <class Lanes, int Branches>
  FULLER_HD void operator()(Lanes lanes, const BranchEvidence<Branches>& evidence, double* state, double* scales,
                            double* scratch) const {
    const int M = evidence.branches();
    const double zero = detail::zero_branch(evidence);
    double* const n = scratch;
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      n[m] = detail::branch_norm(evidence, options.norm, m, zero);
    }
    lanes.sync();
    int compared = 0;
    for (int m = 0; m < M; ++m) {
      compared += n[m] > 0 ? 1 : 0;
    }
    for (int m = lanes.index(); m < M; m += Lanes::count) {
      scales[m] = 1;
      if (n[m] > 0 && compared > 1) {
        double others = 0;
        for (int k = 0; k < M; ++k) {
          others += k != m ? n[k] : 0;
        }
        state[m] = options.momentum * state[m] + (1 - options.momentum) * sigma(n[m] / (others / (compared - 1)));
        scales[m] = state[m];
      }
    }
    lanes.sync();
  }

 private:
  /// Eq. 6 of r = x / y, with 1 - tanh(z) = 2 / (exp(2 z) + 1), which keeps its digits where tanh is close to 1.
  FULLER_HD double sigma(double r) const {
    if (!(r > 1 + detail::rounding_noise)) {
      return 1;
    }
    const double z = options.alpha * (options.step == GateStep::paper ? r : r - 1);
    return detail::larger(2 / (std::exp(2 * z) + 1), options.floor);
  }
};

}  // namespace fuller
