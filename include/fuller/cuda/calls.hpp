// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#include <fuller/calibrators/calibrators.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/scratch.hpp>
#include <fuller/cuda/views.hpp>
#include <fuller/gates/gates.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {

template <class... Rules>
struct RuleList {};

/// The rules that the last block of a Gram matrix runs itself. All of KnownRules in each such kernel would take the device's
/// assembler two minutes for each architecture instead of half a one.
using FusedRules = RuleList<Uniform, Constant, IMTL_G, GradNorm, DWA, PCGrad, WPCGrad<DTP>, WPCGrad<PhaseSchedule>>;

/// The rules that the kernels can run: FusedRules first, and those that are launched after the Gram matrix. A custom rule runs on
/// the host.
using KnownRules = RuleList<Uniform, Constant, IMTL_G, GradNorm, DWA, PCGrad, WPCGrad<DTP>, WPCGrad<PhaseSchedule>, ConFIG,
                            GradVac, DBMTL, FairGrad, NashMTL, UW, IMTL_L, RLW, FAMO, STCH, GLS, GO4Align, LDC, Balancer>;

/// The rules of ours that run on the host, in the order of the stream, as a custom one does: their eigenvectors and programmes
/// are long functions, and would be half as much again for a device's assembler, in every program and for every architecture.
using HostRules = RuleList<AlignedMTL, UPGrad, DualProj, MGDA, CAGrad, PCD>;

/// The rules whose answer is no weights but a choice element by element, which LibTorch's operations make on a device; by kernels
/// they are refused, in the order of the stream they run.
using ElementRules = RuleList<GradDrop>;

template <class... Laws>
struct GateList {};

/// The gate laws that the kernels can run. A custom law runs on the host, and so does Pareto, which sees one branch alone: its
/// two gradients, of UnimodalAssist.
using KnownGates = GateList<ModalityGate, MLB, OGM, AGM, CGGM>;

namespace detail {

template <class One, template <class...> class List, class... All>
constexpr int number_in(List<All...> /*list*/) {
  const bool same[] = {std::is_same_v<One, All>...};
  for (int k = 0; k < static_cast<int>(sizeof...(All)); ++k) {
    if (same[k]) {
      return k;
    }
  }
  return -1;
}

template <class... First, class... All>
constexpr bool are_first(RuleList<First...> first, RuleList<All...> all) {
  int number = 0;
  return ((number_in<First>(first) == number_in<First>(all) && number_in<First>(all) == number++) && ...);
}
static_assert(are_first(FusedRules(), KnownRules()), "a number of FusedRules is that of the same rule in KnownRules");

template <class... Rules>
constexpr int count_of(RuleList<Rules...> /*list*/) {
  return static_cast<int>(sizeof...(Rules));
}

}  // namespace detail

/// Which of the known rules `Rule` is; -1 for none.
template <class Rule>
inline constexpr int rule_number = detail::number_in<Rule>(KnownRules());

/// Which of the known gate laws `Law` is; -1 for none.
template <class Law>
inline constexpr int gate_number = detail::number_in<Law>(KnownGates());

/// One call of a rule under its policies, all of it in device memory but the mask: what a step changes there is changed in place,
/// so that a captured call can be replayed.
struct RuleCall {
  int number = -1;  ///< rule_number of the rule; -1: no rule
  int tasks = 0;
  std::uint64_t present = 0;           ///< bit i: task i has a loss
  const void* weighting = nullptr;     ///< a Weighting<Rule>
  const double* gram = nullptr;        ///< T x T; null where not measured
  const double* losses = nullptr;      ///< T; null for a rule that does not ask
  const double* loss_scale = nullptr;  ///< one number, of either sign; null: 1
  std::int64_t* counters = nullptr;    ///< step, which the call counts up, and epoch
  double* state = nullptr;
  double* shared = nullptr;         ///< T weights of the shared parameters
  double* heads = nullptr;          ///< T weights of the heads
  Condition* conditions = nullptr;  ///< T
  double* scratch = nullptr;        ///< rule_scratch() doubles, used where shared memory is too small
  bool held = false;                ///< whether the weights of an earlier call are; a captured call stays what it is
};

/// One call of a gate law, likewise.
struct GateCall {
  int number = -1;  ///< gate_number of the law; -1: no gate
  int branches = 0;
  std::uint64_t present = 0;
  const void* law = nullptr;
  const double* squared_norms = nullptr;  ///< M, in device memory
  const double* scores = nullptr;         ///< M, for a law that reads them
  double sizes[max_tasks] = {};
  double* state = nullptr;
  double* scales = nullptr;
  double* scratch = nullptr;  ///< gate_scratch() doubles
};

/// Doubles of work space of a call.
template <class Rule>
FULLER_HD int rule_scratch(const Weighting<Rule>& weighting, int tasks) {
  return fuller::detail::doubles_for_bytes(tasks) + weighting.scratch_size(tasks);
}
template <class Law>
FULLER_HD int gate_scratch(const Law& law, int branches) {
  return fuller::detail::doubles_for_bytes(branches) + law.scratch_size(branches);
}

namespace detail {

/// A mask as the bytes that a rule reads.
template <class Lanes>
FULLER_HD const std::uint8_t* unpack(Lanes lanes, std::uint64_t mask, int count, std::uint8_t* bytes) {
  for (int i = lanes.index(); i < count; i += Lanes::count) {
    bytes[i] = static_cast<std::uint8_t>(mask >> static_cast<unsigned>(i) & 1U);
  }
  lanes.sync();
  return bytes;
}

/// Not inlined: all rules in one function take the device's assembler minutes.
template <class Rule, class Lanes>
__attribute__((noinline)) FULLER_HD void run_rule(Lanes lanes, const RuleCall& call, double* shared, int shared_doubles) {
  const auto& weighting = *static_cast<const Weighting<Rule>*>(call.weighting);
  fuller::detail::Scratch work(rule_scratch(weighting, call.tasks) <= shared_doubles ? shared : call.scratch);
  Evidence<> evidence;
  evidence.count = call.tasks;
  evidence.gram = call.gram;
  evidence.losses = call.losses;
  evidence.present = unpack(lanes, call.present, call.tasks, work.bytes(call.tasks));
  evidence.step = call.counters[0];
  evidence.epoch = call.counters[1];
  evidence.loss_scale = call.loss_scale == nullptr ? 1.0 : std::fabs(*call.loss_scale);
  evidence.held = call.held;
  lanes.sync();
  weighting(lanes, evidence, call.state, WeightsView{call.shared, call.heads, call.conditions}, work.rest());
  if (lanes.index() == 0) {
    call.counters[0] = evidence.step + 1;
  }
  lanes.sync();
}

template <class Lanes, class... Rules>
FULLER_HD void run_known(Lanes lanes, const RuleCall& call, double* shared, int shared_doubles, RuleList<Rules...> /*list*/) {
  int number = 0;
  static_cast<void>(((number++ == call.number ? (run_rule<Rules>(lanes, call, shared, shared_doubles), true) : false) || ...));
}

template <class Law, class Lanes>
__attribute__((noinline)) FULLER_HD void run_gate(Lanes lanes, const GateCall& call, double* shared, int shared_doubles) {
  const Law& law = *static_cast<const Law*>(call.law);
  fuller::detail::Scratch work(gate_scratch(law, call.branches) <= shared_doubles ? shared : call.scratch);
  BranchEvidence<> evidence;
  evidence.count = call.branches;
  evidence.squared_norms = call.squared_norms;
  evidence.sizes = call.sizes;
  evidence.scores = call.scores;
  evidence.present = unpack(lanes, call.present, call.branches, work.bytes(call.branches));
  law(lanes, evidence, call.state, call.scales, work.rest());
}

template <class Lanes, class... Laws>
FULLER_HD void run_known(Lanes lanes, const GateCall& call, double* shared, int shared_doubles, GateList<Laws...> /*list*/) {
  int number = 0;
  static_cast<void>(((number++ == call.number ? (run_gate<Laws>(lanes, call, shared, shared_doubles), true) : false) || ...));
}

}  // namespace detail

/// Runs the rule of a call on the lanes of one warp (or one lane); nothing for number -1.
template <class Lanes>
FULLER_HD void run_rule(Lanes lanes, const RuleCall& call, double* shared, int shared_doubles) {
  if (call.number >= 0) {
    detail::run_known(lanes, call, shared, shared_doubles, KnownRules());
  }
}

/// Runs the rule of a call, if it is one of FusedRules.
template <class Lanes>
FULLER_HD void run_fused_rule(Lanes lanes, const RuleCall& call, double* shared, int shared_doubles) {
  if (call.number >= 0) {
    detail::run_known(lanes, call, shared, shared_doubles, FusedRules());
  }
}

/// Runs the gate law of a call, likewise.
template <class Lanes>
FULLER_HD void run_gate(Lanes lanes, const GateCall& call, double* shared, int shared_doubles) {
  if (call.number >= 0) {
    detail::run_known(lanes, call, shared, shared_doubles, KnownGates());
  }
}

}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
