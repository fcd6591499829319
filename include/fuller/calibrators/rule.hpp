// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <type_traits>
#include <utility>

#include <fuller/core/evidence.hpp>
#include <fuller/core/lanes.hpp>

namespace fuller {
inline namespace v0_1 {

/// Where task gradients are taken and compared.
enum class Surface {
  last_shared,     ///< the parameters of the last shared layer; costs T weight gradients of that layer
  representation,  ///< the shared representation z itself; costs no weight gradient
  all_shared,      ///< every parameter that two or more losses reach; costs T passes through the trunk, whose weighted sum trains
};

/// Which gradients the weights multiply.
enum class ApplyTo {
  all,          ///< those of shared parameters and heads, as in FULLER's Algorithm 1 (the weighted loss is differentiated)
  shared_only,  ///< those of shared parameters; each head gets the plain gradient of its loss, as in IMTL, PCGrad and wPCGrad
};

/// What a rule must be shown.
struct Needs {
  bool gram = false;    ///< the Gram matrix of the task gradients
  bool losses = false;  ///< the values of the losses
};

/// A rule: evidence in, weights out. This is the whole interface between a rule's mathematics and everything else.
///
///     struct Rule {                                     // trivially copyable: it is an argument of kernels
///       static constexpr const char* name;              // the paper's acronym; saved with the state
///       static constexpr Needs needs;
///       static constexpr Surface default_surface;       // as published
///       static constexpr ApplyTo default_apply_to;      // as published
///       int state_size(int tasks) const;                // doubles kept from step to step, saved and loaded
///       int scratch_size(int tasks) const;              // doubles of work space for one call
///       void initialise(int tasks, double* state) const;  // host; throws Error for options that make no sense
///       template <class Lanes, int Tasks>
///       FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double* state, double* weights,
///                                 double* scratch) const;
///     };
///
/// The call writes T weights, 0 for absent tasks. It allocates nothing, never waits, and depends on nothing but its arguments, so
/// it is deterministic, and the same on the host and on a device to rounding. A rule with state may also have
/// `void check_state(int tasks, const double* state) const`, which throws Error for a saved state that no step leaves.
///
/// The call may assume that at least one task is present, that the evidence of each present task is finite and, where the rule
/// needs the Gram matrix, that the task's norm is positive: `Weighting` sees to that. All lanes of a group make the call
/// together; on return every lane sees all of `state` and `weights`.
template <class Rule, class = void>
struct is_rule : std::false_type {};

template <class Rule>
struct is_rule<
    Rule, std::void_t<decltype(std::declval<const Rule&>()(Serial{}, std::declval<const Evidence<>&>(), std::declval<double*>(),
                                                           std::declval<double*>(), std::declval<double*>())),
                      decltype(Rule::needs), decltype(std::declval<const Rule&>().state_size(0))>> : std::true_type {};

namespace detail {

/// Whether losses <= 0 mean nothing to a rule (`static constexpr bool positive_losses = true`): logarithms are no losses to it.
template <class Rule, class = void>
struct rule_needs_positive_losses : std::false_type {};
template <class Rule>
struct rule_needs_positive_losses<Rule, std::void_t<decltype(Rule::positive_losses)>>
    : std::bool_constant<Rule::positive_losses> {};

/// Whether a rule, or a part of one, has `void check_state(int tasks, const double* state) const`.
template <class Rule, class = void>
struct rule_checks_state : std::false_type {};
template <class Rule>
struct rule_checks_state<Rule,
                         std::void_t<decltype(std::declval<const Rule&>().check_state(0, static_cast<const double*>(nullptr)))>>
    : std::true_type {};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
