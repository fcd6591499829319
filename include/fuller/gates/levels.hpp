// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/task_vector.hpp>
#include <fuller/gates/law.hpp>
#include <fuller/gates/norms.hpp>

// What gate laws have in common: which branches of a step can be compared, and with what each is.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Whether branch m is there and has a score that is a number.
template <int Branches>
FULLER_HD bool has_score(const BranchEvidence<Branches>& evidence, int m) {
  return evidence.present[m] != 0 && is_finite(evidence.scores[m]);
}

/// Writes each branch's level, a number > 0: its norm or its score. The level is 0 for a branch that takes no part, because it is
/// absent, its gradient is 0 or not finite, or its score is no number > 0. All lanes of a group call it together.
/// @return how many take part
template <class Lanes, int Branches>
FULLER_HD int compare_branches(Lanes lanes, const BranchEvidence<Branches>& evidence, GateEvidence by, GateNorm norm,
                               double* levels) {
  const int M = evidence.branches();
  const double zero = by == GateEvidence::norms ? zero_branch(evidence) : 0;
  for (int m = lanes.index(); m < M; m += Lanes::count) {
    if (by == GateEvidence::norms) {
      levels[m] = branch_norm(evidence, norm, m, zero);
    } else {
      levels[m] = has_score(evidence, m) && evidence.scores[m] > 0 ? evidence.scores[m] : 0;
    }
  }
  lanes.sync();
  int compared = 0;
  for (int m = 0; m < M; ++m) {
    compared += levels[m] > 0 ? 1 : 0;
  }
  return compared;
}

/// The mean level of the `compared` branches that take part, without branch m, which does.
FULLER_HD inline double mean_of_others(const double* levels, int branches, int compared, int m) {
  double others = 0;
  for (int k = 0; k < branches; ++k) {
    others += k != m ? levels[k] : 0;
  }
  return others / (compared - 1);
}

/// 1 - tanh(z) = 2 / (exp(2 z) + 1), which keeps its digits where tanh is close to 1.
FULLER_HD inline double one_minus_tanh(double z) { return 2 / (std::exp(2 * z) + 1); }

/// @throws Error unless there are branches to compare, and no more than a law takes.
inline void require_branch_count(const char* law, int branches) {
  if (branches < 2 || branches > TaskVector::capacity) {
    fail(law, " is asked for ", branches, " branches; it takes 2 to ", TaskVector::capacity);
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
