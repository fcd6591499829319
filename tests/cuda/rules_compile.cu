// SPDX-License-Identifier: Apache-2.0
// Every rule as a kernel, on one thread and on the 32 lanes of a warp: what runs on the host has to compile to real device code.

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>

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

template <class Lanes, int Branches>
__global__ void gate(fuller::ModalityGate rule, fuller::BranchEvidence<Branches> evidence, double* state, double* scales,
                     double* scratch) {
  rule(Lanes{}, evidence, state, scales, scratch);
  scales[0] *= fuller::gamma_modal(evidence);
}

template <class Lanes, int Tasks, class Rule>
void launch(const Rule& rule) {
  weigh<Lanes, Tasks><<<1, Lanes::count>>>(rule, fuller::Evidence<Tasks>{}, nullptr, nullptr, nullptr);
  weigh_by_policy<Lanes, Tasks>
      <<<1, Lanes::count>>>(fuller::Weighting<Rule>(rule), fuller::Evidence<Tasks>{}, nullptr, fuller::WeightsView{}, nullptr);
}

template <class Rule>
void launch_all(const Rule& rule) {
  launch<fuller::Serial, fuller::dynamic>(rule);
  launch<Warp, fuller::dynamic>(rule);
  launch<fuller::Serial, 2>(rule);
  launch<Warp, 4>(rule);
}

}  // namespace

void instantiate_every_rule() {
  launch_all(fuller::IMTL_G());
  launch_all(fuller::GradNorm());
  launch_all(fuller::DWA());
  launch_all(fuller::PCGrad());
  launch_all(fuller::WPCGrad());
  launch_all(fuller::WPCGrad(fuller::PhaseSchedule()));
  launch_all(fuller::Uniform());
  launch_all(fuller::Constant());
  gate<fuller::Serial, fuller::dynamic><<<1, 1>>>(fuller::ModalityGate(), fuller::BranchEvidence<>{}, nullptr, nullptr, nullptr);
  gate<Warp, 2><<<1, 32>>>(fuller::ModalityGate(), fuller::BranchEvidence<2>{}, nullptr, nullptr, nullptr);
}
