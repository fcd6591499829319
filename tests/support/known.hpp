// SPDX-License-Identifier: Apache-2.0
#pragma once

// The rules and gate laws that the kernels know, one of each: what is asked of every one of them is asked over the library's own
// lists, so that a rule or law added there is asked too.

#include <string>
#include <vector>

#include <fuller/cuda/calls.hpp>

namespace fuller::testing {

/// A rule as its user would make it for so many tasks: with its defaults, unless those are no choice at all.
template <class Rule>
struct Known {
  static Rule made_for(int /*tasks*/) { return Rule(); }
  static std::string name() { return Rule::name; }
};

template <>
struct Known<Constant> {
  static Constant made_for(int tasks) {
    std::vector<double> by_hand;
    for (int i = 0; i < tasks; ++i) {
      by_hand.push_back(0.5 + i);
    }
    return Constant(TaskVector(by_hand));
  }
  static std::string name() { return Constant::name; }
};

template <>
struct Known<PhaseSchedule> {
  static PhaseSchedule made_for(int tasks) { return seg_to_vel(24, 0, tasks > 1 ? 1 : 0); }
};

template <>
struct Known<DTP> {
  static DTP made_for(int /*tasks*/) { return DTP(); }
};

template <class Distribution>
struct Known<WPCGrad<Distribution>> {
  static WPCGrad<Distribution> made_for(int tasks) { return WPCGrad<Distribution>(Known<Distribution>::made_for(tasks)); }
  static std::string name() { return std::string(WPCGrad<Distribution>::name) + "_" + Distribution::name; }
};

template <class F, class... Rules>
void for_every_known(cuda::RuleList<Rules...> /*list*/, int tasks, const F& f) {
  (f(Known<Rules>::made_for(tasks)), ...);
}

template <class F, class... Laws>
void for_every_known(cuda::GateList<Laws...> /*list*/, const F& f) {
  (f(Laws()), ...);
}

/// Calls f(rule) with each rule of cuda::KnownRules, made for so many tasks.
template <class F>
void for_every_known_rule(int tasks, const F& f) {
  for_every_known(cuda::KnownRules(), tasks, f);
}

/// Calls f(law) with each gate law of cuda::KnownGates, with its defaults.
template <class F>
void for_every_known_gate(const F& f) {
  for_every_known(cuda::KnownGates(), f);
}

}  // namespace fuller::testing
