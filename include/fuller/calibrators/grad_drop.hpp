// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <type_traits>
#include <utility>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/sign_drop.hpp>

namespace fuller {
inline namespace v0_1 {

struct GradDropOptions {
  /// The share l_i in [0, 1] of what is dropped that passes all the same, one per task or none. Empty: 0. 1 drops nothing of that
  /// task's.
  TaskVector leak;
  /// Key of the draws; the same on every rank.
  std::uint64_t seed = 0;
};

/// GradDrop, "Just pick a sign: optimizing deep multitask models with gradient sign dropout" (Chen et al., NeurIPS 2020): no
/// weights. At each element of the shared representation the tasks' gradients g_i give the purity of their sign
///   P = 1/2 (1 + sum_i g_i / sum_i |g_i|)
/// and with U uniform in (0, 1), drawn anew for each element and step, those > 0 pass where P > U, those < 0 where P < U:
///   g = sum_i (l_i + (1 - l_i) M_i) g_i,   M_i = [P > U] [g_i > 0] + [P < U] [g_i < 0].
/// Where all agree, P is 0 or 1 and all pass; a task alone is left as it is. With p the sum of the gradients > 0 and n that of
/// the others' sizes, p passes with probability p / (p + n), else -n: in the mean over U the plain sum p - n.
///
/// Readings. f(P) = P, the paper's default. Its Algorithm 1 multiplies the gradients by the signs of the activations first, which
/// turns all signs of an element and so changes nothing here; it matters where gradients of different samples are summed over the
/// batch before, which LibMTL does always and the paper for tasks that see different samples: not offered, since here the
/// tasks see the same. One public program has the leak the other way round (1 drops everything), and an element at which all
/// gradients are 0 is 0 / 0 in others: here it is 0.
///
/// The draw of element e of level k in a step is Philox(seed, step, k) by e's place in row-major order: the same for any layout,
/// number of threads and device, and after a resume. Each rank draws for its own samples where options.ranks.rank says which it
/// is. Scale: a common factor changes no sign; its sign turns P and all gradients round. Rounding: P is compared with odd
/// multiples of 2^-33.
///
/// The gradients whose signs count are the weighted ones: static weights and a loss stage multiply them, before and after alike.
/// What is NaN or infinite at an element is shown by the plain sum there, not dropped, unless its task is left out by
/// NonFinite::skip. Surface::representation alone; heads get their own gradients. Needs nothing. No state.
struct GradDrop {
  static constexpr const char* name = "GradDrop";
  static constexpr Needs needs{false, false};
  static constexpr Surface default_surface = Surface::representation;
  static constexpr ApplyTo default_apply_to = ApplyTo::shared_only;

  GradDropOptions options;

  GradDrop() = default;
  explicit GradDrop(const GradDropOptions& chosen) : options(chosen) {}

  /// What the engine does to the gradients in place of a weighted sum.
  detail::SignDrop sign_drop() const { return {options.leak, options.seed}; }

  FULLER_HD int state_size(int) const { return 0; }
  FULLER_HD int scratch_size(int) const { return 0; }
  /// @throws Error for leaks that are not one number in [0, 1] per task.
  void initialise(int tasks, double*) const {
    detail::require_task_count(name, tasks);
    detail::require_one_per_task("GradDrop: option leak", options.leak, tasks, false);
    for (int i = 0; i < options.leak.size(); ++i) {
      detail::require("GradDrop: option leak", options.leak[i], options.leak[i] <= 1, "[0, 1]");
    }
  }

  /// Weight 1 for each task that is there: what the signs are drawn of.
  template <class Lanes, int Tasks>
  FULLER_HD void operator()(Lanes lanes, const Evidence<Tasks>& evidence, double*, double* weights, double*) const {
    for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
      weights[i] = evidence.present[i] != 0 ? 1 : 0;
    }
    lanes.sync();
  }
};

namespace detail {

/// Whether a rule has `SignDrop sign_drop() const`.
template <class Rule, class = void>
struct rule_drops_signs : std::false_type {};
template <class Rule>
struct rule_drops_signs<Rule, std::void_t<decltype(std::declval<const Rule&>().sign_drop())>> : std::true_type {};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
