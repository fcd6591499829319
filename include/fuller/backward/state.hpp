// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/gathering.hpp>
#include <fuller/backward/step.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/host_tasks.hpp>
#include <fuller/engine/plan.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/tensor/parameter_names.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

struct GatedPass;
struct Modalities;

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

/// Forward passes whose graph is alive.
template <class Pass>
class OpenPasses {
 public:
  void insert(const std::shared_ptr<Pass>& pass) {
    all_.erase(std::remove_if(all_.begin(), all_.end(), [](const auto& one) { return one.expired(); }), all_.end());
    all_.push_back(pass);
  }
  std::vector<std::shared_ptr<Pass>> alive() const {
    std::vector<std::shared_ptr<Pass>> list;
    for (const auto& one : all_) {
      if (auto pass = one.lock()) {
        list.push_back(std::move(pass));
      }
    }
    return list;
  }

 private:
  std::vector<std::weak_ptr<Pass>> all_;
};

/// What diagnostics show of the last step beside the engine's record; a copy, which outlives it.
struct Shown {
  Route route = Route::none;
  std::shared_ptr<const Seen> seen = std::make_shared<Seen>();
  Outcome plain;  ///< what was decided where the route is `plain`: the engine knows nothing of it
  std::int64_t passes = 0;
  std::int64_t bytes_kept = 0;
  bool summed = false;
  std::string one_more;
  std::int64_t bytes_averaged = 0;
  std::int64_t micro_batches = 1;  ///< of which that step was made
  std::int64_t gathered = 0;       ///< micro-batches since, of a step to come
};

/// What the nodes of one calibration share. What save() writes is the engine's.
struct State {
  explicit State(Plan fixed)
      : plan(std::make_shared<const Plan>(std::move(fixed))),
        engine(std::make_shared<HostTasks>(plan)),
        named_heads(plan->tasks.size()) {}

  std::shared_ptr<const Plan> plan;
  std::shared_ptr<TaskEngine> engine;

  std::vector<std::vector<at::Tensor>> named_heads;  ///< head parameters given by name
  std::shared_ptr<ParameterNames> names = std::make_shared<ParameterNames>();

  std::int64_t backwards = 0;   ///< backwards that reached a sum(), weighed or not
  int nested = 0;               ///< depth of passes of our own inside a running backward
  OpenPasses<Step> open_steps;  ///< through a fork
  OpenPasses<GatedPass> open_gates;
  std::shared_ptr<Modalities> modalities;  ///< the other level; null where there is none
  std::int64_t meetings = 0;               ///< how often ranks have told each other what they are about to do
  SharedLeaves shared;                     ///< parameters that were shared in a step of Surface::all_shared
  SharedLeaves reached_by_all;             ///< every parameter reached in a step with all tasks, on several ranks
  bool frozen_fork = false;                ///< nothing upstream of the tensors last given to fork() was trained
  bool said_plain = false;                 ///< that nothing shared is trained
  Gathering gathering;                     ///< the step that several backwards make

  Shown shown;

  const std::vector<std::string>& tasks() const { return plan->tasks; }
  const CalibrationOptions& options() const { return plan->options; }

  /// Whether heads get another gradient than the backward sends them.
  ///
  /// At the fork, heads run unweighted, and what they are left with is weighted when the backward is through; a task that is
  /// skipped trains its head in no case, and where failures come to light later that is also what becomes of one whose exception
  /// is still to be thrown. At the sum they run weighted, and are given their plain gradients on the way in where only shared
  /// parameters are to be weighted.
  bool changes_heads(Route route) const {
    if (route == Route::sum) {
      return plan->apply_to == ApplyTo::shared_only;
    }
    const NonFinite policy = plan->options.non_finite;
    return plan->apply_to == ApplyTo::all || (may_leave_out(policy) && (!throws(policy) || engine->fails_later()));
  }

  /// Whether the heads' gradients are set aside meanwhile: also where a policy may throw and is to leave everything as it was.
  bool sets_heads_aside(Route route) const {
    return route == Route::fork && (changes_heads(route) || throws(plan->options.non_finite));
  }

  /// Lets go of what the micro-batches of an unfinished step have brought, and says so.
  void drop_gathered(const char* why) {
    gathering.drop(why);
    shown.gathered = 0;
  }

  /// Counts a backward in which nothing shared is trained, and which is no step.
  /// @throws Error among micro-batches in which something is
  void note_plain() {
    if (gathering.done > 0) {
      drop_gathered("nothing that the losses share is trained in a micro-batch");
      gathering.fail_as_unlike();
    }
    gathering.plain = gathering.plain + 1 >= gathering.count ? 0 : gathering.plain + 1;
  }

  /// Has the diagnostics show this step, whose rule was asked.
  void show(const Step& step) {
    shown.route = step.summed->route;
    shown.seen = step.summed->seen;
    shown.passes = step.pass.passes;
    shown.bytes_kept = step.pass.bytes_kept;
    shown.summed = step.pass.summed;
    shown.one_more = step.pass.one_more;
    shown.micro_batches = 1;
    shown.gathered = 0;
  }
};

/// A step and the state of its calibration, as the autograd nodes hold them.
struct StepOfState {
  std::shared_ptr<State> state;
  std::shared_ptr<Step> step;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
