// SPDX-License-Identifier: Apache-2.0
// Weighs what it reads by every rule that others have too, as they have it: for bench/peers/conformance.
//
// Input: problems of T, T x T products and T losses. Output: for each problem and rule a line `rule w_1 .. w_T`, by a rule that
// has seen no step before.
#include <cstdint>
#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include <fuller/calibrators/calibrators.hpp>

namespace {

struct Problem {
  int tasks = 0;
  std::vector<double> gram;
  std::vector<double> losses;
};

template <class Rule>
void weigh(const std::string& name, const Rule& rule, const Problem& problem) {
  const auto size = [](int count) { return static_cast<std::size_t>(count); };
  const int T = problem.tasks;
  std::vector<double> state(size(rule.state_size(T)));
  std::vector<double> scratch(size(rule.scratch_size(T)) + 1);
  std::vector<double> weights(size(T));
  const std::vector<std::uint8_t> present(size(T), 1);
  rule.initialise(T, state.data());
  fuller::Evidence<> evidence;
  evidence.count = T;
  evidence.gram = problem.gram.data();
  evidence.losses = problem.losses.data();
  evidence.present = present.data();
  rule(fuller::Serial{}, evidence, state.data(), weights.data(), scratch.data());
  std::printf("%s", name.c_str());
  for (const double weight : weights) {
    std::printf(" %.17g", weight);
  }
  std::printf("\n");
}

void weigh_by_all(const Problem& problem) {
  weigh("IMTL_G", fuller::IMTL_G(), problem);
  fuller::AlignedMTLOptions mean;
  mean.sum = fuller::WeightSum::one;
  weigh("AlignedMTL", fuller::AlignedMTL(mean), problem);
  weigh("ConFIG", fuller::ConFIG(), problem);
  if (problem.tasks == 2) {  // no chance in it
    weigh("PCGrad", fuller::PCGrad(), problem);
    weigh("GradVac", fuller::GradVac(), problem);
  }
  weigh("DBMTL", fuller::DBMTL(), problem);
  for (const double alpha : {0.5, 1.0, 2.0}) {
    fuller::FairGradOptions options;
    options.alpha = alpha;
    weigh("FairGrad_" + std::to_string(alpha).substr(0, 3), fuller::FairGrad(options), problem);
  }
  weigh("NashMTL", fuller::NashMTL(), problem);
  weigh("UPGrad", fuller::UPGrad(), problem);
  weigh("DualProj", fuller::DualProj(), problem);
  weigh("MGDA", fuller::MGDA(), problem);
  fuller::CAGradOptions half;
  half.c = 0.5;
  half.rescale = fuller::CAGradOptions::Rescale::one;
  weigh("CAGrad", fuller::CAGrad(half), problem);
  weigh("PCD", fuller::PCD(), problem);
  weigh("UW", fuller::UW(), problem);
  weigh("IMTL_L", fuller::IMTL_L(), problem);
  weigh("FAMO", fuller::FAMO(), problem);
  weigh("STCH", fuller::STCH(), problem);
  weigh("GLS", fuller::GLS(), problem);
  weigh("GO4Align", fuller::GO4Align(), problem);
  weigh("LDC", fuller::LDC(), problem);
  weigh("RLW", fuller::RLW(), problem);
  weigh("Balancer", fuller::Balancer(), problem);
}

}  // namespace

int main() {
  for (Problem problem; std::cin >> problem.tasks;) {
    const auto T = static_cast<std::size_t>(problem.tasks);
    problem.gram.resize(T * T);
    problem.losses.resize(T);
    for (double& product : problem.gram) {
      std::cin >> product;
    }
    for (double& loss : problem.losses) {
      std::cin >> loss;
    }
    weigh_by_all(problem);
  }
  return std::cin.eof() ? 0 : 1;
}
