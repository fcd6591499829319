// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {

/// The norm of a branch's gradient, that is, of its slice of the fusion weight's gradient.
enum class GateNorm {
  l2,   ///< L2 norm of the slice, Eq. 4
  rms,  ///< L2 norm over the square root of the number of elements: does not depend on how many channels a branch has
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

/// gamma_modal, Eq. 4, as a ratio >= 1: the largest norm over the smallest, among branches whose norm is above rounding noise; 1
/// if there are fewer than two of them. Reads `evidence.sizes` for `rms` only. Allocates nothing; host and device.
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

}  // namespace v0_1
}  // namespace fuller
