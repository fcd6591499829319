// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <utility>

#include <fuller/core/evidence.hpp>
#include <fuller/core/lanes.hpp>
#include <fuller/gates/norms.hpp>

namespace fuller {
inline namespace v0_1 {

/// What a gate multiplies.
enum class GateTarget {
  gradient,  ///< the branch's gradient, Eq. 8; an adaptive optimiser cancels a lasting factor on it
  update,    ///< how far the optimiser moves the branch's parameters: see Calibration::step()
};

/// By what a law compares branches.
enum class GateEvidence {
  norms,   ///< the norm of the gradient of a branch's slice of the fusion weight; nothing has to be handed in
  scores,  ///< how well a branch does, which only the trainer knows: Calibration::scores()
};

/// A gate law: norms or scores of the branches in, what each branch is multiplied with (its scale) out. As a rule is for the
/// tasks, this is the whole interface between a law's mathematics and everything else.
///
// clang-format off
///     struct Law {
///       static constexpr const char* name;                  // the paper's name; saved with the state
///       int state_size(int branches) const;                 // doubles kept from step to step, saved and loaded
///       int scratch_size(int branches) const;               // doubles of work space for one call
///       void initialise(int branches, double* state) const;  // host; throws Error for options that make no sense
///       template <class Lanes, int Branches>
///       FULLER_HD void operator()(Lanes lanes, const BranchEvidence<Branches>& evidence, double* state, double* scales,
///                                 double* scratch) const;
///       // Optional, all on the host:
///       void check_state(int branches, const double* state) const;    // throws Error for a saved state that no step leaves
///       void check_scales(int branches, const double* scales) const;  // the same of saved scales; without: finite
///       GateTarget target() const;      // what the scales multiply, unless modalities() is told; without: gradient
///       GateNorm norm() const;          // the norm in which branches are compared, also for gamma_modal; without: l2
///       GateEvidence evidence() const;  // what is compared; scores have to be handed in; without: norms
///       bool divides_scores() const;    // whether a score below 0 has no meaning, and is refused where it is seen; without: false
///       bool only_measures() const;     // whether every scale is always 1; without: false
///     };
// clang-format on
///
/// The call writes M scales: 1 for a branch that is absent or has nothing to compare. It allocates nothing, never waits, and
/// depends on nothing but its arguments, so it is deterministic.
///
/// At least one branch is present. Squared norms may be 0, NaN or infinite, and scores NaN: `detail::compare_branches`
/// (gates/levels.hpp) leaves such branches out. All lanes of a group make the call together; on return every lane sees all of
/// `state` and `scales`. If the call throws on the host, the step ends and the state is what it was.
///
/// A law that runs in kernels is trivially copyable and listed in `cuda::KnownGates`; any other runs on the host.
template <class Law, class = void>
struct is_gate : std::false_type {};

template <class Law>
struct is_gate<
    Law,
    std::void_t<decltype(std::declval<const Law&>()(Serial{}, std::declval<const BranchEvidence<>&>(), std::declval<double*>(),
                                                    std::declval<double*>(), std::declval<double*>())),
                decltype(std::declval<const Law&>().initialise(0, std::declval<double*>())), decltype(Law::name),
                decltype(std::declval<const Law&>().state_size(0)), decltype(std::declval<const Law&>().scratch_size(0))>>
    : std::true_type {};

namespace detail {

template <class Law, class = void>
struct gate_checks_state : std::false_type {};
template <class Law>
struct gate_checks_state<Law,
                         std::void_t<decltype(std::declval<const Law&>().check_state(0, static_cast<const double*>(nullptr)))>>
    : std::true_type {};

template <class Law, class = void>
struct gate_checks_scales : std::false_type {};
template <class Law>
struct gate_checks_scales<Law,
                          std::void_t<decltype(std::declval<const Law&>().check_scales(0, static_cast<const double*>(nullptr)))>>
    : std::true_type {};

template <class Law, class = void>
struct gate_has_target : std::false_type {};
template <class Law>
struct gate_has_target<Law, std::void_t<decltype(std::declval<const Law&>().target())>> : std::true_type {};

template <class Law, class = void>
struct gate_has_norm : std::false_type {};
template <class Law>
struct gate_has_norm<Law, std::void_t<decltype(std::declval<const Law&>().norm())>> : std::true_type {};

template <class Law, class = void>
struct gate_has_evidence : std::false_type {};
template <class Law>
struct gate_has_evidence<Law, std::void_t<decltype(std::declval<const Law&>().evidence())>> : std::true_type {};

template <class Law, class = void>
struct gate_may_divide_scores : std::false_type {};
template <class Law>
struct gate_may_divide_scores<Law, std::void_t<decltype(std::declval<const Law&>().divides_scores())>> : std::true_type {};

template <class Law, class = void>
struct gate_may_only_measure : std::false_type {};
template <class Law>
struct gate_may_only_measure<Law, std::void_t<decltype(std::declval<const Law&>().only_measures())>> : std::true_type {};

/// What the law's scales multiply unless the user says otherwise.
template <class Law>
GateTarget gate_target(const Law& law) {
  if constexpr (gate_has_target<Law>::value) {
    return law.target();
  } else {
    static_cast<void>(law);
    return GateTarget::gradient;
  }
}

/// The norm in which the law compares branches.
template <class Law>
GateNorm gate_norm(const Law& law) {
  if constexpr (gate_has_norm<Law>::value) {
    return law.norm();
  } else {
    static_cast<void>(law);
    return GateNorm::l2;
  }
}

/// By what the law compares branches.
template <class Law>
GateEvidence gate_evidence(const Law& law) {
  if constexpr (gate_has_evidence<Law>::value) {
    return law.evidence();
  } else {
    static_cast<void>(law);
    return GateEvidence::norms;
  }
}

/// Whether the law divides one score by another.
template <class Law>
bool gate_divides_scores(const Law& law) {
  if constexpr (gate_may_divide_scores<Law>::value) {
    return law.divides_scores();
  } else {
    static_cast<void>(law);
    return false;
  }
}

/// Whether the law changes nothing, whatever it sees.
template <class Law>
bool gate_only_measures(const Law& law) {
  if constexpr (gate_may_only_measure<Law>::value) {
    return law.only_measures();
  } else {
    static_cast<void>(law);
    return false;
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
