// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

#include <cstdint>
#include <type_traits>
#include <utility>

#include <Eigen/Core>

#include <fuller/calibrators/options.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/lanes.hpp>

namespace fuller {
inline namespace v0_1 {

/// Evidence as Eigen maps: copies nothing and owns nothing. Rows, columns and losses of absent tasks are 0.
struct EigenEvidence {
  using Matrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  using Flags = Eigen::Matrix<std::uint8_t, Eigen::Dynamic, 1>;

  int tasks;                                 ///< T
  Eigen::Map<const Matrix> gram;             ///< T x T: <g_i, g_j>, with `loss_scale` in every g; 0 x 0 if not needed
  Eigen::Map<const Eigen::VectorXd> losses;  ///< T, without `loss_scale`; empty if not needed
  Eigen::Map<const Flags> present;           ///< T flags: 0 where a task has no loss in this step
  std::int64_t step;                         ///< how many steps came before
  std::int64_t epoch;                        ///< how many epochs were ended before
  double loss_scale;                         ///< the factor that the summed loss was multiplied with
};

namespace detail {

template <class F, class = void>
struct has_needs : std::false_type {};
template <class F>
struct has_needs<F, std::void_t<decltype(F::needs)>> : std::true_type {};
template <class F, class = void>
struct has_name : std::false_type {};
template <class F>
struct has_name<F, std::void_t<decltype(F::name)>> : std::true_type {};
template <class F, class = void>
struct has_surface : std::false_type {};
template <class F>
struct has_surface<F, std::void_t<decltype(F::default_surface)>> : std::true_type {};
template <class F, class = void>
struct has_apply_to : std::false_type {};
template <class F>
struct has_apply_to<F, std::void_t<decltype(F::default_apply_to)>> : std::true_type {};
template <class F, class = void>
struct has_state_size : std::false_type {};
template <class F>
struct has_state_size<F, std::void_t<decltype(std::declval<const F&>().state_size(0))>> : std::true_type {};
template <class F, class = void>
struct has_initialise : std::false_type {};
template <class F>
struct has_initialise<F,
                      std::void_t<decltype(std::declval<const F&>().initialise(0, std::declval<Eigen::Ref<Eigen::VectorXd>>()))>>
    : std::true_type {};
template <class F, class = void>
struct has_heads_may_ascend : std::false_type {};
template <class F>
struct has_heads_may_ascend<F, std::void_t<decltype(std::declval<const F&>().heads_may_ascend())>> : std::true_type {};

template <class F>
constexpr Needs needs_of() {
  if constexpr (has_needs<F>::value) {
    return F::needs;
  } else {
    return Needs{true, true};
  }
}
template <class F>
constexpr const char* name_of() {
  if constexpr (has_name<F>::value) {
    return F::name;
  } else {
    return "custom rule";
  }
}
template <class F>
constexpr Surface surface_of() {
  if constexpr (has_surface<F>::value) {
    return F::default_surface;
  } else {
    return Surface::last_shared;
  }
}
template <class F>
constexpr ApplyTo apply_to_of() {
  if constexpr (has_apply_to<F>::value) {
    return F::default_apply_to;
  } else {
    return ApplyTo::all;
  }
}

}  // namespace detail

/// A custom rule in plain Eigen, on the host: evidence in, weights out.
///
///     struct InverseNorms {
///       void operator()(const fuller::EigenEvidence& e, Eigen::Ref<Eigen::VectorXd> weights) const {
///         weights = e.gram.diagonal().cwiseSqrt().cwiseInverse();
///       }
///     };
///     fuller::EigenRule rule{InverseNorms{}};
///
/// The call operator writes T weights. A weight that it does not write is NaN; what it writes for absent tasks is replaced by 0.
/// The evidence of each present task is finite, and its norm positive.
///
/// A rule with state has `int state_size(int tasks) const`, and a third argument of the call, `Eigen::Ref<Eigen::VectorXd>
/// state`. The state starts at 0, or as `void initialise(int tasks, Eigen::Ref<Eigen::VectorXd> state) const` writes it, and is
/// saved and loaded with the rest.
///
/// Optional members, as in a rule: `needs` (default: Gram matrix and losses), `name`, `default_surface` (last shared layer),
/// `default_apply_to` (all), `heads_may_ascend()` (false). Host only. Allocates nothing itself; `F` may.
template <class F>
class EigenRule {
  using Vector = Eigen::Map<Eigen::VectorXd>;
  static_assert(
      std::is_invocable_v<const F&, const EigenEvidence&, Vector&> ||
          std::is_invocable_v<const F&, const EigenEvidence&, Vector&, Vector&>,
      "an Eigen rule needs void operator()(const fuller::EigenEvidence&, Eigen::Ref<Eigen::VectorXd> weights) const, with "
      "Eigen::Ref<Eigen::VectorXd> state as a third argument where it has state");

 public:
  static constexpr const char* name = detail::name_of<F>();
  static constexpr Needs needs = detail::needs_of<F>();
  static constexpr Surface default_surface = detail::surface_of<F>();
  static constexpr ApplyTo default_apply_to = detail::apply_to_of<F>();

  EigenRule() = default;
  explicit EigenRule(F rule) : rule_(std::move(rule)) {}

  int state_size(int tasks) const {
    if constexpr (detail::has_state_size<F>::value) {
      return rule_.state_size(tasks);
    } else {
      return 0;
    }
  }
  int scratch_size(int tasks) const { return tasks * tasks + tasks; }
  void initialise(int tasks, double* state) const {
    detail::require_task_count(name, tasks);
    Eigen::Map<Eigen::VectorXd> view(state, state_size(tasks));
    view.setZero();
    if constexpr (detail::has_initialise<F>::value) {
      rule_.initialise(tasks, view);
    }
  }
  bool heads_may_ascend() const {
    if constexpr (detail::has_heads_may_ascend<F>::value) {
      return rule_.heads_may_ascend();
    } else {
      return false;
    }
  }

  template <int Tasks>
  void operator()(Serial, const Evidence<Tasks>& evidence, double* state, double* weights, double* scratch) const {
    const int T = evidence.tasks();
    bool all_present = true;
    for (int i = 0; i < T; ++i) {
      all_present = all_present && evidence.present[i] != 0;
    }
    const Evidence<Tasks> seen = all_present ? evidence : without_absent(evidence, scratch);
    const int rows = needs.gram ? T : 0;
    const EigenEvidence view{
        T,          {seen.gram, rows, rows}, {seen.losses, needs.losses ? T : 0}, {seen.present, T}, seen.step,
        seen.epoch, seen.loss_scale};
    Eigen::Map<Eigen::VectorXd> out(weights, T);
    out.setConstant(detail::quiet_nan);  // a weight that the rule forgets is to show
    if constexpr (std::is_invocable_v<const F&, const EigenEvidence&, Eigen::Map<Eigen::VectorXd>&,
                                      Eigen::Map<Eigen::VectorXd>&>) {
      Eigen::Map<Eigen::VectorXd> kept(state, state_size(T));
      rule_(view, out, kept);
    } else {
      rule_(view, out);
    }
    for (int i = 0; i < T; ++i) {
      out[i] = evidence.present[i] != 0 ? out[i] : 0;
    }
  }

 private:
  /// The evidence with zeros for absent tasks, in `scratch`.
  template <int Tasks>
  static Evidence<Tasks> without_absent(const Evidence<Tasks>& evidence, double* scratch) {
    const int T = evidence.tasks();
    Evidence<Tasks> seen = evidence;
    double* const losses = scratch + T * T;
    for (int i = 0; i < T; ++i) {
      if constexpr (needs.losses) {
        losses[i] = evidence.present[i] != 0 ? evidence.losses[i] : 0;
      }
      if constexpr (needs.gram) {
        for (int j = 0; j < T; ++j) {
          scratch[i * T + j] = evidence.present[i] != 0 && evidence.present[j] != 0 ? evidence.dot(i, j) : 0;
        }
      }
    }
    seen.gram = needs.gram ? scratch : nullptr;
    seen.losses = needs.losses ? losses : nullptr;
    return seen;
  }

  F rule_;
};

template <class F>
EigenRule(F) -> EigenRule<F>;

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
