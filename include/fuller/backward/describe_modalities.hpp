// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <vector>

#include <fuller/core/evidence.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/gates/norms.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The modalities' part of the diagnostics.
inline void describe_modalities(const std::vector<std::string>& names, GateNorm norm, const BranchesShown& shown,
                                const GateMemory& memory, Diagnostics& out) {
  out.modalities = names;
  out.gates = memory.scales;
  out.branch_scores = memory.scores;
  int present = 0;
  for (std::size_t m = 0; m < names.size(); ++m) {
    const bool here = shown.present[m] != 0;
    present += here ? 1 : 0;
    out.branch_norms.push_back(here ? std::sqrt(memory.squared_norms[m]) : Diagnostics::none);
    if (!here && !out.branch_scores.empty()) {
      out.branch_scores[m] = Diagnostics::none;
    }
  }
  if (present > 1) {
    BranchEvidence<> evidence;
    evidence.count = static_cast<int>(names.size());
    evidence.squared_norms = memory.squared_norms.data();
    evidence.sizes = shown.sizes.data();
    evidence.present = shown.present.data();
    out.gamma_modal = gamma_modal(evidence, norm);
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
