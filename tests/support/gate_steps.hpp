// SPDX-License-Identifier: Apache-2.0
#pragma once

// Steps of a gate law on the host, as an engine calls it.

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <fuller/gates/gates.hpp>

namespace fuller::testing {

/// What one step shows of M branches.
struct BranchStep {
  std::vector<double> squared_norms;
  std::vector<double> scores;
  std::vector<std::uint8_t> present;
  std::vector<double> sizes;

  /// Every branch is there, with these numbers for its score and, squared, for its norm.
  static BranchStep of(const std::vector<double>& levels) {
    BranchStep step;
    step.scores = levels;
    for (const double level : levels) {
      step.squared_norms.push_back(level * level);
      step.present.push_back(1);
      step.sizes.push_back(1);
    }
    return step;
  }

  template <int Branches = dynamic>
  BranchEvidence<Branches> view() const {
    BranchEvidence<Branches> evidence;
    evidence.count = static_cast<int>(present.size());
    evidence.squared_norms = squared_norms.data();
    evidence.scores = scores.data();
    evidence.present = present.data();
    evidence.sizes = sizes.data();
    return evidence;
  }
};

template <class Law>
struct GateRunner {
  GateRunner(const Law& chosen, int branches)
      : law(chosen),
        state(static_cast<std::size_t>(law.state_size(branches))),
        scales(static_cast<std::size_t>(branches)),
        scratch(static_cast<std::size_t>(law.scratch_size(branches))) {
    law.initialise(branches, state.data());
  }

  template <int Branches = dynamic, class Lanes>
  void call(Lanes lanes, const BranchStep& step) {
    law(lanes, step.view<Branches>(), state.data(), scales.data(), scratch.data());
  }

  std::vector<double> operator()(const BranchStep& step) {
    scales.assign(scales.size(), std::numeric_limits<double>::quiet_NaN());
    call(Serial{}, step);
    return scales;
  }
  /// A step in which every branch is there, with these norms and scores.
  std::vector<double> operator()(const std::vector<double>& levels) { return (*this)(BranchStep::of(levels)); }

  Law law;
  std::vector<double> state;
  std::vector<double> scales;
  std::vector<double> scratch;
};

}  // namespace fuller::testing
