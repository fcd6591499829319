// SPDX-License-Identifier: Apache-2.0
// After every header: what is a template is made for each rule and gate law, so that its warnings show too.
#include <algorithm>
#include <iterator>
#include <string>
#include <vector>

template <class... Rules>
std::vector<fuller::Calibration> every_one(fuller::cuda::RuleList<Rules...> /*list*/) {
  std::vector<fuller::Calibration> all;
  (all.emplace_back(Rules(), std::vector<std::string>{"a", "b"}), ...);
  return all;
}

template <class... Laws>
void every_one(fuller::cuda::GateList<Laws...> /*list*/, fuller::Calibration& calibration) {
  (calibration.modalities(Laws(), {"a", "b"}), ...);
}

std::vector<fuller::Calibration> every_rule_and_law() {
  std::vector<fuller::Calibration> all = every_one(fuller::cuda::KnownRules());
  std::vector<fuller::Calibration> others = every_one(fuller::cuda::HostRules());
  std::move(others.begin(), others.end(), std::back_inserter(all));
  std::vector<fuller::Calibration> elementwise = every_one(fuller::cuda::ElementRules());
  std::move(elementwise.begin(), elementwise.end(), std::back_inserter(all));
  every_one(fuller::cuda::KnownGates(), all.front());
  return all;
}

fuller::Overhead nothing_over_nothing() {
  const auto step = [] {};
  return fuller::measure_overhead(step, step);
}
