// SPDX-License-Identifier: Apache-2.0
// Every known rule and gate law as a kernel, on one thread and on the 32 lanes of a warp: what runs on the host has to compile to
// real device code.

#include <fuller/cuda/calls.hpp>

namespace {

struct Warp {
  static constexpr int count = 32;
  __device__ int index() const { return static_cast<int>(threadIdx.x) % count; }
  __device__ void sync() const { __syncwarp(); }
};

template <class Lanes, int Tasks, class Rule>
__global__ void weigh(Rule rule, fuller::Evidence<Tasks> evidence, double* state, double* weights, double* scratch) {
  rule(Lanes{}, evidence, state, weights, scratch);
}

template <class Lanes, int Tasks, class Rule>
__global__ void weigh_by_policy(fuller::Weighting<Rule> weighting, fuller::Evidence<Tasks> evidence, double* state,
                                fuller::WeightsView out, double* scratch) {
  weighting(Lanes{}, evidence, state, out, scratch);
}

template <class Lanes, int Branches, class Law>
__global__ void gate(Law law, fuller::BranchEvidence<Branches> evidence, double* state, double* scales, double* scratch) {
  law(Lanes{}, evidence, state, scales, scratch);
  scales[0] *= fuller::gamma_modal(evidence);
}

template <class Rule>
void launch_rule() {
  weigh<fuller::Serial, 2><<<1, 1>>>(Rule(), fuller::Evidence<2>{}, nullptr, nullptr, nullptr);
  weigh_by_policy<Warp, fuller::dynamic>
      <<<1, Warp::count>>>(fuller::Weighting<Rule>(Rule()), fuller::Evidence<>{}, nullptr, fuller::WeightsView{}, nullptr);
}

template <class Law>
void launch_gate() {
  gate<fuller::Serial, fuller::dynamic><<<1, 1>>>(Law(), fuller::BranchEvidence<>{}, nullptr, nullptr, nullptr);
  gate<Warp, 2><<<1, Warp::count>>>(Law(), fuller::BranchEvidence<2>{}, nullptr, nullptr, nullptr);
}

template <class... Rules>
void launch_all(fuller::cuda::RuleList<Rules...> /*list*/) {
  (launch_rule<Rules>(), ...);
}

template <class... Laws>
void launch_all(fuller::cuda::GateList<Laws...> /*list*/) {
  (launch_gate<Laws>(), ...);
}

}  // namespace

void instantiate_every_rule_and_law() {
  launch_all(fuller::cuda::KnownRules());
  launch_all(fuller::cuda::KnownGates());
}
