// SPDX-License-Identifier: Apache-2.0
// Prints what every rule and the gate give over many steps, with moments and random presence: a program that is compiled twice,
// with products and sums apart and fused, to be compared. Inputs are whole numbers over powers of two, whose Gram matrices have
// no rounding error, so that both programs weigh the same bits. Half of the runs have small whole numbers, which makes equal,
// orthogonal, opposite and dependent gradients common.
//
//   values generic|ties
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

#include "support/gate_steps.hpp"
#include "support/known.hpp"
#include "support/steps.hpp"

namespace {

class Draws {
 public:
  explicit Draws(std::uint64_t seed) : engine_(seed) {}
  /// A whole number in [0, bound).
  std::int64_t below(std::int64_t bound) { return static_cast<std::int64_t>(engine_() % static_cast<std::uint64_t>(bound)); }

 private:
  std::mt19937_64 engine_;
};

fuller::testing::Step step_of_whole_numbers(int T, bool ties, Draws& draws) {
  constexpr int P = 7;
  const std::int64_t most = ties ? 2 : 1 << 20;
  std::vector<std::int64_t> g(static_cast<std::size_t>(T * P));
  for (int i = 0; i < T; ++i) {
    const std::int64_t kind = ties ? draws.below(8) : 7;
    for (int p = 0; p < P; ++p) {
      std::int64_t& value = g[static_cast<std::size_t>(i * P + p)];
      const bool has_another = i > 0 && kind < 3;  // a copy, its opposite, or three times it
      value = has_another ? g[static_cast<std::size_t>((i - 1) * P + p)] * (kind == 0   ? 1
                                                                            : kind == 1 ? -1
                                                                                        : 3)
                          : draws.below(2 * most + 1) - most;
    }
    g[static_cast<std::size_t>(i * P)] += g[static_cast<std::size_t>(i * P)] == 0 && i == 0 ? 1 : 0;
  }
  fuller::testing::Step step;
  step.tasks = T;
  for (int i = 0; i < T; ++i) {
    for (int j = 0; j < T; ++j) {
      std::int64_t product = 0;
      for (int p = 0; p < P; ++p) {
        product += g[static_cast<std::size_t>(i * P + p)] * g[static_cast<std::size_t>(j * P + p)];
      }
      step.gram.push_back(static_cast<double>(product) * 0x1p-20);
    }
    step.losses.push_back(static_cast<double>(1 + draws.below(ties ? 3 : 1 << 20)) * 0x1p-10);
    step.present.push_back(draws.below(3) != 0 ? 1 : 0);
  }
  step.present[static_cast<std::size_t>(draws.below(T))] = 1;
  return step;
}

void print(const char* name, int T, std::int64_t step, const std::vector<double>& values) {
  std::printf("%s T=%d step=%lld", name, T, static_cast<long long>(step));
  for (const double value : values) {
    std::printf(" %a", value);
  }
  std::printf("\n");
}

void print_rules(bool ties) {
  for (const int T : {1, 2, 3, 4, 5, 9}) {
    fuller::testing::for_every_rule(T, [&](const auto& rule) {
      using Rule = std::decay_t<decltype(rule)>;
      fuller::testing::WeightingRunner<Rule> run(rule, T);
      Draws draws(41);
      for (int k = 0; k < 300; ++k) {
        fuller::testing::Step step = step_of_whole_numbers(T, ties, draws);
        step.step = k;
        step.epoch = k / 7;
        run(step);
        // Both weights of all tasks in one scale.
        std::vector<double> values = run.shared;
        values.insert(values.end(), run.heads.begin(), run.heads.end());
        print(Rule::name, T, k, values);
      }
    });
  }
}

template <class Law>
void print_gate(const Law& law, bool ties) {
  for (const int M : {2, 3, 6}) {
    fuller::testing::GateRunner<Law> run(law, M);
    fuller::testing::BranchStep step = fuller::testing::BranchStep::of(std::vector<double>(static_cast<std::size_t>(M), 1.0));
    Draws draws(42);
    for (int k = 0; k < 300; ++k) {
      for (std::size_t m = 0; m < step.present.size(); ++m) {
        const auto number = static_cast<double>(1 + draws.below(ties ? 3 : 1 << 20));
        step.squared_norms[m] = number;
        step.scores[m] = ties ? number : number / (1 << 20);
        step.present[m] = draws.below(4) != 0 ? 1 : 0;
      }
      print(Law::name, M, k, run(step));
    }
  }
}

void print_gates(bool ties) {
  fuller::testing::for_every_known_gate([&](const auto& law) { print_gate(law, ties); });
  fuller::ModalityGateOptions options;
  options.shape = fuller::GateShape::continuous;
  print_gate(fuller::ModalityGate(options), ties);
}

}  // namespace

int main(int argc, char** argv) {
  const bool ties = argc > 1 && std::strcmp(argv[1], "ties") == 0;
  print_rules(ties);
  print_gates(ties);
  return 0;
}
