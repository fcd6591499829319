// SPDX-License-Identifier: Apache-2.0
// Times one call of each rule that TorchJD has too, on the Gram matrices that it reads: for bench/peers/calls.
//
// Input: problems of T and T x T products. Output: for each problem and rule a line `rule T microseconds`, the median of
// measurements of some milliseconds of processor time each.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <iostream>
#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

namespace {

struct Problem {
  int tasks = 0;
  std::vector<double> gram;
};

/// Processor time, which other programs on the machine disturb less than elapsed time.
double thread_microseconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return 1e6 * static_cast<double>(time.tv_sec) + 1e-3 * static_cast<double>(time.tv_nsec);
}

template <class Rule>
void time_call(const std::string& name, const Rule& rule, const Problem& problem) {
  const int T = problem.tasks;
  const fuller::Weighting<Rule> weighting(rule);
  const auto count = static_cast<std::size_t>(T);
  std::vector<double> state(static_cast<std::size_t>(weighting.state_size(T)));
  std::vector<double> scratch(static_cast<std::size_t>(weighting.scratch_size(T)) + 1);
  std::vector<double> shared(count);
  std::vector<double> heads(count);
  std::vector<fuller::Condition> conditions(count);
  const std::vector<std::uint8_t> present(count, 1);
  const std::vector<double> losses(count, 1.0);
  weighting.initialise(T, state.data());
  fuller::Evidence<> evidence;
  evidence.count = T;
  evidence.gram = problem.gram.data();
  evidence.losses = losses.data();
  evidence.present = present.data();
  const auto calls = [&](std::int64_t many) {
    const double begin = thread_microseconds();
    for (std::int64_t k = 0; k < many; ++k) {
      ++evidence.step;
      weighting(fuller::Serial{}, evidence, state.data(), {shared.data(), heads.data(), conditions.data()}, scratch.data());
    }
    return thread_microseconds() - begin;
  };
  std::int64_t many = 1;
  while (calls(many) < 3000) {  // microseconds
    many *= 2;
  }
  std::vector<double> times;
  for (int round = 0; round < 7; ++round) {
    times.push_back(calls(many) / static_cast<double>(many));
  }
  std::sort(times.begin(), times.end());
  std::printf("%s %d %.6g\n", name.c_str(), T, times[times.size() / 2]);
}

void time_all(const Problem& problem) {
  time_call("AlignedMTL", fuller::AlignedMTL(), problem);
  time_call("CAGrad", fuller::CAGrad(), problem);
  time_call("ConFIG", fuller::ConFIG(), problem);
  time_call("DualProj", fuller::DualProj(), problem);
  time_call("FairGrad", fuller::FairGrad(), problem);
  time_call("GradVac", fuller::GradVac(), problem);
  time_call("IMTL_G", fuller::IMTL_G(), problem);
  time_call("MGDA", fuller::MGDA(), problem);
  time_call("NashMTL", fuller::NashMTL(), problem);
  time_call("PCD", fuller::PCD(), problem);
  time_call("PCGrad", fuller::PCGrad(), problem);
  time_call("UPGrad", fuller::UPGrad(), problem);
}

}  // namespace

int main() {
  Problem problem;
  while (std::cin >> problem.tasks) {
    problem.gram.resize(static_cast<std::size_t>(problem.tasks) * static_cast<std::size_t>(problem.tasks));
    for (double& product : problem.gram) {
      std::cin >> product;
    }
    time_all(problem);
  }
  return 0;
}
