// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace fuller::bench {

/// One contender and, round by round, what it took.
struct Contender {
  std::string name;
  std::function<void()> run;
  std::vector<double> seconds;
};

inline double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

/// Contenders that take turns: round after round each runs once, so that what disturbs the machine disturbs them all, and the
/// median over the rounds of their time over the first one's is reported.
class Contest {
 public:
  void add(std::string name, std::function<void()> run) { contenders_.push_back({std::move(name), std::move(run), {}}); }

  /// The benchmark's time is the first contender's; each other one becomes a counter: its time as a multiple of the first's.
  void run(benchmark::State& state) {
    for (Contender& contender : contenders_) {
      contender.run();
    }
    for (auto _ : state) {
      for (Contender& contender : contenders_) {
        const auto start = std::chrono::steady_clock::now();
        contender.run();
        contender.seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
      }
      state.SetIterationTime(contenders_.front().seconds.back());
    }
    for (const Contender& contender : contenders_) {
      if (&contender != &contenders_.front()) {
        state.counters[contender.name] = over_first(contender);
      }
    }
  }

 private:
  double over_first(const Contender& contender) const {
    std::vector<double> ratios;
    for (std::size_t round = 0; round < contender.seconds.size(); ++round) {
      ratios.push_back(contender.seconds[round] / contenders_.front().seconds[round]);
    }
    return median(ratios);
  }

  std::vector<Contender> contenders_;
};

}  // namespace fuller::bench
