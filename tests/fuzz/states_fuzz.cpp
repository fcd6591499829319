// SPDX-License-Identifier: Apache-2.0
// libFuzzer: states of every rule and gate law, as a damaged or a hostile archive may hold them, and the steps after. A state is
// refused, or the rule takes steps from it: within its memory, in finite time, with weights that are numbers, and leaves a state
// that is accepted.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/cuda/calls.hpp>
#include <fuller/gates/gates.hpp>

#include "support/known.hpp"

namespace {

using namespace fuller;

/// Numbers out of the bytes; zeros when they are used up.
class Input {
 public:
  Input(const std::uint8_t* bytes, std::size_t count) : at_(bytes), left_(count) {}

  std::uint8_t byte() {
    if (left_ == 0) {
      return 0;
    }
    --left_;
    return *at_++;
  }
  /// Any double, NaN and infinities among them, or a small number.
  double any() {
    if (byte() < 128) {
      return byte() / 8.0;
    }
    std::uint8_t bytes[sizeof(double)];
    for (std::uint8_t& each : bytes) {
      each = byte();
    }
    double value = 0;
    std::memcpy(&value, bytes, sizeof value);
    return value;
  }
  /// A number as training has them, between 1e-8 and 1e8 in size; rarely 0.
  double plain() {
    const int mantissa = byte() - 128;
    const int exponent = byte() % 17 - 8;
    return mantissa / 64.0 * std::pow(10.0, exponent);
  }

 private:
  const std::uint8_t* at_;
  std::size_t left_;
};

void expect(bool holds, const char* who, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "%s: %s\n", who, what);
    std::abort();
  }
}

/// Whether the state was accepted.
template <class Checked>
bool accepts(const Checked& checked, int count, const double* state) {
  try {
    checked.check_state(count, state);
    return true;
  } catch (const Error&) {
    return false;
  }
}

template <class Rule>
void try_rule(const Rule& rule, int tasks, Input& input) {
  const std::size_t T = static_cast<std::size_t>(tasks);
  WeightingOptions options;
  const std::uint8_t choices = input.byte();
  options.missing = (choices & 1) != 0 ? Missing::renormalise : Missing::hold;
  options.non_finite = static_cast<NonFinite>(choices / 2 % 3);
  options.stage = static_cast<LossStage>(choices / 8 % 6);
  const Weighting<Rule> weighting(rule, options);
  std::vector<double> state(static_cast<std::size_t>(weighting.state_size(tasks)));
  weighting.initialise(tasks, state.data());
  bool damaged = false;
  for (double& number : state) {
    if (input.byte() % 4 == 0) {
      number = input.any();
      damaged = true;
    }
  }
  if (!accepts(weighting, tasks, state.data())) {
    return;
  }
  std::vector<double> scratch(static_cast<std::size_t>(weighting.scratch_size(tasks)));
  for (int step = 0; step < 3; ++step) {
    constexpr std::size_t n = 3;
    std::vector<double> gradients(T * n), gram(T * T), losses(T), shared(T), heads(T);
    std::vector<std::uint8_t> present(T, 1);
    std::vector<Condition> conditions(T);
    for (double& number : gradients) {
      number = input.plain();
    }
    for (std::size_t i = 0; i < T; ++i) {
      losses[i] = std::fabs(input.plain()) + 1e-8;
      present[i] = input.byte() % 8 != 0 ? 1 : 0;
      for (std::size_t j = 0; j < T; ++j) {
        for (std::size_t k = 0; k < n; ++k) {
          gram[i * T + j] += gradients[i * n + k] * gradients[j * n + k];
        }
      }
    }
    present[0] = 1;
    Evidence<> evidence;
    evidence.count = tasks;
    evidence.gram = gram.data();
    evidence.losses = losses.data();
    evidence.present = present.data();
    evidence.step = step + 1;
    evidence.epoch = input.byte() % 4;
    weighting(Serial(), evidence, state.data(), {shared.data(), heads.data(), conditions.data()}, scratch.data());
    // A factor out of the state may make a gradient infinite, which shows as such under this policy.
    const bool shown = options.non_finite == NonFinite::propagate &&
                       std::find(conditions.begin(), conditions.end(), Condition::non_finite) != conditions.end();
    for (std::size_t i = 0; i < T; ++i) {
      if (shown) {
        break;
      }
      expect(!std::isnan(shared[i]) && !std::isnan(heads[i]), Rule::name, "a weight is NaN after a state that was accepted");
      expect(present[i] != 0 || (shared[i] == 0 && heads[i] == 0), Rule::name, "an absent task has a weight");
    }
    expect(damaged || accepts(weighting, tasks, state.data()), Rule::name, "a state that steps have left is refused");
  }
}

template <class Law>
void try_law(const Law& law, int branches, Input& input) {
  const std::size_t M = static_cast<std::size_t>(branches);
  std::vector<double> state(static_cast<std::size_t>(law.state_size(branches)));
  law.initialise(branches, state.data());
  for (double& number : state) {
    number = input.byte() % 4 == 0 ? input.any() : number;
  }
  if constexpr (detail::gate_checks_state<Law>::value) {
    if (!accepts(law, branches, state.data())) {
      return;
    }
  }
  std::vector<double> scratch(static_cast<std::size_t>(law.scratch_size(branches)));
  for (int step = 0; step < 3; ++step) {
    std::vector<double> norms(M), sizes(M), scores(M), scales(M, -1);
    std::vector<std::uint8_t> present(M, 1);
    for (std::size_t m = 0; m < M; ++m) {
      norms[m] = std::fabs(input.any());
      sizes[m] = 1 + input.byte();
      scores[m] = input.plain();
      present[m] = input.byte() % 8 != 0 ? 1 : 0;
    }
    present[0] = 1;
    BranchEvidence<> evidence;
    evidence.count = branches;
    evidence.squared_norms = norms.data();
    evidence.sizes = sizes.data();
    evidence.scores = scores.data();
    evidence.present = present.data();
    law(Serial(), evidence, state.data(), scales.data(), scratch.data());
    for (const double scale : scales) {
      expect(std::isfinite(scale) && scale >= 0, Law::name, "a scale is no number >= 0 after a state that was accepted");
    }
    if constexpr (detail::gate_checks_state<Law>::value) {
      expect(accepts(law, branches, state.data()), Law::name, "a step left a state that is refused");
    }
  }
}

template <class... Rules>
int count_of(cuda::RuleList<Rules...> /*list*/) {
  return static_cast<int>(sizeof...(Rules));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  Input input(bytes, count);
  const int chosen = input.byte();
  const int tasks = 1 + input.byte() % 6;
  int number = 0;
  const auto rule = [&](const auto& each) {
    if (number++ == chosen) {
      try_rule(each, tasks, input);
    }
  };
  testing::for_every_known_rule(tasks, rule);
  testing::for_every_known(cuda::HostRules(), tasks, rule);
  testing::for_every_known_gate([&](const auto& law) {
    if (number++ == chosen) {
      try_law(law, 1 + tasks, input);
    }
  });
  return 0;
}
