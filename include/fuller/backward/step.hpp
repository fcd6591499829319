// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/ivalue.h>
#include <c10/util/intrusive_ptr.h>

#include <fuller/engine/engine.hpp>
#include <fuller/engine/outcome.hpp>
#include <fuller/engine/task_rule.hpp>
#include <fuller/graph/last_layer.hpp>
#include <fuller/graph/running.hpp>
#include <fuller/graph/walk.hpp>
#include <fuller/options.hpp>
#include <fuller/tensor/parameter_names.hpp>

namespace fuller::detail {

/// What a step's graph showed, for the diagnostics: parameters are not kept alive.
struct Seen {
  std::vector<WeakTensor> surface;         ///< whose task gradients are compared
  std::vector<WeakTensor> shared;          ///< trained, and reached by two losses or more, or behind the fork
  std::vector<NamedShape> representation;  ///< the levels of z, where those are compared
  std::vector<NamedShape> untrained;       ///< weights that need no gradient, passed on the way from z to the last layer
};

/// One forward pass through a fork or a loss sum, until its backward has run. Owned by the autograd nodes it belongs to, so it
/// dies with the graph.
struct Step {
  /// Where the T gradients come from and where they go, once the losses are known.
  enum class Route {
    undecided,  ///< sum() was not called
    fork,       ///< weights are chosen and applied where the T cotangents of z arrive
    sum,        ///< weights are chosen and applied at the losses (parameters shared by heads)
    plain,      ///< there is nothing to compare, since nothing that is shared is trained: the rule is not asked
  };

  Route route = Route::undecided;
  Outcome outcome;                   ///< of the backward that runs, or ran last
  at::Tensor scale;                  ///< the gradient that arrived at the loss sum, while the backward is between sum and fork
  std::vector<at::Tensor> casts;     ///< and casts of it, which losses of other types have got, where the step runs on a device
  at::Tensor device_scale;           ///< a copy of it on the device, a double, where the step runs there
  std::uint64_t nodes_at_start = 0;  ///< nodes_made() when the backward reached the loss sum

  const Node* fork = nullptr;       ///< the fork's node; null for a sum without a fork
  std::vector<Edge> roots;          ///< gradient edges of the K levels of z
  std::vector<at::Tensor> surface;  ///< parameters whose task gradients are compared
  std::vector<Edge> surface_edges;  ///< and where their gradients arrive
  bool named = false;               ///< whether the user named them
  Edge linear;                      ///< the product x W^T, where W alone is the surface and nothing else reads it
  std::vector<Node*> linear_way;    ///< from there to W

  const Node* sum = nullptr;                   ///< the loss sum's node
  int sums = 0;                                ///< how often sum() was called; what follows is the last call's
  std::weak_ptr<const Running> run;            ///< the backward that started at the sum, until the fork has run
  std::vector<std::size_t> given;              ///< the tasks with a loss, in the order of the sum's inputs
  std::vector<at::Tensor> losses;              ///< T losses, detached; undefined where a task is absent
  std::vector<std::vector<at::Tensor>> heads;  ///< T lists of parameters that one task alone reaches
  NodeSet inside;                              ///< nodes between the sum and the fork
  std::vector<bool> custom;                    ///< whether a task's head holds an autograd function of the user's

  std::shared_ptr<Seen> seen = std::make_shared<Seen>();
  std::int64_t passes = 0;      ///< for task gradients, in the backward that runs or ran last
  std::int64_t bytes_kept = 0;  ///< of those, held at once
};

/// Parameters in the order in which they were found, without keeping them alive.
class SharedLeaves {
 public:
  bool contains(const at::Tensor& leaf) const {
    const auto place = places_.find(leaf.unsafeGetTensorImpl());
    return place != places_.end() && !leaves_[place->second].expired();
  }
  void insert(const at::Tensor& leaf) {
    if (!contains(leaf)) {
      places_[leaf.unsafeGetTensorImpl()] = leaves_.size();
      leaves_.push_back(weak(leaf));
    }
  }
  std::vector<at::Tensor> trained() const {
    std::vector<at::Tensor> alive;
    for (const WeakTensor& leaf : leaves_) {
      const at::Tensor tensor = locked(leaf);
      if (tensor.defined() && tensor.requires_grad()) {  // not frozen since
        alive.push_back(tensor);
      }
    }
    return alive;
  }

 private:
  std::vector<WeakTensor> leaves_;
  std::unordered_map<const void*, std::size_t> places_;
};

struct GateStep;

/// What a Calibration keeps from step to step.
struct State {
  State(std::vector<std::string> task_names, TaskRule task_rule, const CalibrationOptions& calibration_options, Surface where,
        ApplyTo what)
      : tasks(std::move(task_names)),
        rule(std::move(task_rule)),
        options(calibration_options),
        surface(where),
        apply_to(what),
        last(tasks.size()),
        named_heads(tasks.size()) {}

  std::vector<std::string> tasks;
  TaskRule rule;
  CalibrationOptions options;
  Surface surface;
  ApplyTo apply_to;

  std::int64_t step = 0;
  std::int64_t epoch = 0;
  std::int64_t backwards = 0;  ///< backwards that reached a sum(), weighed or not
  int nested = 0;              ///< depth of passes of our own inside a running backward

  Outcome last;  ///< the last step's, to be looked at

  std::shared_ptr<TasksOnDevice> device;  ///< does the arithmetic where given; the host's numbers are then those last read

  std::vector<std::vector<at::Tensor>> named_heads;  ///< head parameters given by name
  std::vector<std::weak_ptr<Step>> open_steps;       ///< steps whose graph is alive
  std::vector<std::weak_ptr<GateStep>> open_gates;   ///< and passes through its gates
  SharedLeaves shared;                               ///< parameters that were shared in a step of Surface::all_shared
  SharedLeaves reached_by_all;                       ///< every parameter reached in a step with all tasks, on several ranks
  bool frozen_fork = false;                          ///< nothing behind the tensors last given to fork() was trained

  std::shared_ptr<ParameterNames> names = std::make_shared<ParameterNames>();

  Step::Route route = Step::Route::undecided;                   ///< the last step's
  std::shared_ptr<const Seen> seen = std::make_shared<Seen>();  ///< and what its graph showed
  Verdict plain;                                                ///< and its weights, where its route was `plain`
  bool said_plain = false;                                      ///< that nothing shared is trained
  std::int64_t passes = 0;                                      ///< and its passes for task gradients, beside the one that trains
  std::int64_t bytes_kept = 0;                                  ///< and the bytes of the task gradients that they held at once
};

/// Has the diagnostics show this step.
inline void show(State& state, const Step& step) {
  state.route = step.route;
  state.seen = step.seen;
  state.passes = step.passes;
  state.bytes_kept = step.bytes_kept;
}

/// Counts one pass for task gradients, and what it has formed.
inline void count_pass(Step& step, const std::vector<at::Tensor>& gradients) {
  ++step.passes;
  for (const at::Tensor& gradient : gradients) {
    if (gradient.defined() && gradient.layout() == at::kStrided) {
      step.bytes_kept += static_cast<std::int64_t>(gradient.numel()) * static_cast<std::int64_t>(gradient.element_size());
    }
  }
}

/// Whether heads get another gradient than the backward sends them.
///
/// At the fork, heads run unweighted, and what they are left with is weighted when the backward is through; a task that is
/// skipped trains its head in no case, and on a device that is also what becomes of one whose exception is still to be thrown. At
/// the sum they run weighted, and are given their plain gradients on the way in where only shared parameters are to be weighted.
inline bool changes_heads(const State& state, const Step& step) {
  if (step.route == Step::Route::sum) {
    return state.apply_to == ApplyTo::shared_only;
  }
  const NonFinite policy = state.options.non_finite;
  return state.apply_to == ApplyTo::all || policy == NonFinite::skip ||
         (policy == NonFinite::throw_error && state.device != nullptr);
}

/// Whether the heads' gradients are set aside meanwhile: also where a policy may throw and is to leave everything as it was.
inline bool sets_heads_aside(const State& state, const Step& step) {
  return step.route == Step::Route::fork && (changes_heads(state, step) || state.options.non_finite == NonFinite::throw_error);
}

/// What task i's head gradients are to be multiplied with on the host: 1 where the device has done it.
inline double head_weight(const State& state, const Outcome& outcome, std::size_t i) {
  if (outcome.device_heads.defined()) {
    return 1.0;
  }
  if (state.apply_to == ApplyTo::all) {
    return outcome.verdict.heads[i];
  }
  const bool skipped = state.options.non_finite == NonFinite::skip && outcome.verdict.conditions[i] == Condition::non_finite;
  return skipped ? 0.0 : 1.0;
}

/// Whether task gradients are compared in every step: because the rule asks, or because the policy must know which are not
/// finite.
inline bool always_measured(const State& state) {
  return state.rule.needs.gram || state.options.non_finite != NonFinite::propagate;
}

/// Carries a shared pointer inside an autograd node's saved data.
template <class T>
struct Capsule : torch::CustomClassHolder {
  explicit Capsule(std::shared_ptr<T> value) : pointer(std::move(value)) {}
  std::shared_ptr<T> pointer;
};

template <class T>
c10::IValue capsule(std::shared_ptr<T> value) {
  return c10::IValue::make_capsule(c10::make_intrusive<Capsule<T>>(std::move(value)));
}

template <class T>
std::shared_ptr<T> open_capsule(const c10::IValue& value) {
  return c10::static_intrusive_pointer_cast<Capsule<T>>(value.toCapsule())->pointer;
}

}  // namespace fuller::detail
