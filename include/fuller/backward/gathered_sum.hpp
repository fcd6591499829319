// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <fuller/backward/capsule.hpp>
#include <fuller/backward/gathered_step.hpp>
#include <fuller/backward/gathering.hpp>
#include <fuller/backward/loss_sum.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/backward/sums_at_losses.hpp>
#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/pull_back.hpp>
#include <fuller/graph/sums_at_leaves.hpp>
#include <fuller/graph/walk.hpp>

// One micro-batch of a step of several: its gradients are formed task by task and kept, and the last one's backward sends to the
// parameters what all have brought.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A micro-batch, as its node holds it.
struct MicroBatch {
  std::shared_ptr<State> state;
  std::shared_ptr<Step> step;
  std::vector<Edge> loss_edges;
  std::shared_ptr<const Summed> summed;
  std::vector<at::Tensor> leaves;  ///< all that the losses train, in the order of the node's inputs
};

/// The parameters that the losses train, shared ones first.
inline std::vector<at::Tensor> trained_by(const Summed& summed) {
  std::vector<at::Tensor> leaves;
  std::unordered_set<const void*> seen;
  const auto add = [&](const at::Tensor& parameter) {
    if (parameter.defined() && seen.insert(parameter.unsafeGetTensorImpl()).second) {
      leaves.push_back(parameter);
    }
  };
  for (const WeakTensor& parameter : summed.seen->shared) {
    add(locked(parameter));
  }
  for (const auto& head : summed.heads) {
    std::for_each(head.begin(), head.end(), add);
  }
  return leaves;
}

/// Forms this micro-batch's gradients, task by task, and adds them to what others have brought.
inline void gather(State& state, const MicroBatch& batch, const at::Tensor& scale) {
  const std::uint64_t before = nodes_made();
  const std::size_t tasks = state.tasks().size();
  const Summed& summed = *batch.summed;
  Gathered& all = state.gathering.so_far;
  const bool values = !state.engine->device();
  all.present.resize(tasks, 0);
  all.losses.resize(tasks);
  all.shares.resize(tasks);
  all.cotangents.resize(tasks);
  Outcome outcome(tasks);
  state.plan->begin(outcome, state.engine->steps_begun());
  const bool of_z = outcome.measured && state.plan->surface == Surface::representation && summed.route == Route::fork;
  const std::size_t levels = of_z ? batch.step->forked->roots.size() : 0;
  for (auto& list : all.cotangents) {
    list.resize(list.size() + levels);  // each task's at the same places
  }
  const at::Tensor noted = state.engine->noted(scale);
  const SentAgain to_losses({scale});
  for (std::size_t k = 0; k < summed.given.size(); ++k) {
    const std::size_t i = summed.given[k];
    std::vector<at::Tensor> parameters;
    std::vector<std::size_t> places;
    std::vector<Edge> targets;
    const auto add = [&](const at::Tensor& parameter, bool shared) {
      if (parameter.defined() && parameter.requires_grad()) {  // neither gone nor frozen since
        parameters.push_back(parameter);
        places.push_back(all.place_of(parameter, i, shared, values, tasks));
        targets.push_back(gradient_edge(parameter));
      }
    };
    for (const WeakTensor& parameter : summed.seen->shared) {
      add(locked(parameter), /*shared=*/true);
    }
    for (const at::Tensor& parameter : summed.heads[i]) {
      add(parameter, /*shared=*/false);
    }
    Edge fork;
    walk(batch.loss_edges[k], [&](const Edge& edge) {
      fork = levels > 0 && edge.function.get() == batch.step->fork_node() ? edge : fork;
      return levels > 0 && !fork.function;
    });
    for (std::size_t level = 0; level < levels; ++level) {
      targets.emplace_back(fork.function, static_cast<std::uint32_t>(i * levels + level));
    }
    const HooksAside aside(parameters);
    std::vector<at::Tensor> formed = pull_back({batch.loss_edges[k]}, {scale}, targets, state.nested);
    to_losses.expect_unwritten("upstream of a loss");
    ++all.passes;
    if (any_sparse({formed})) {
      fail("calibration.accumulate(", state.gathering.count, ") keeps gradients that are arrays of numbers, and '",
           state.tasks()[i], "' gives a sparse one; make the Embedding dense, or leave accumulate() out");
    }
    for (std::size_t p = 0; p < places.size(); ++p) {
      at::Tensor& sum = all.all[places[p]].of_task[i];
      if (!sum.defined() && formed[p].defined()) {
        sum = own_gradient(std::move(formed[p]), parameters[p]);
      } else if (formed[p].defined()) {
        sum.add_(formed[p]);
      }
    }
    std::move(formed.begin() + static_cast<std::ptrdiff_t>(places.size()), formed.end(),
              all.cotangents[i].end() - static_cast<std::ptrdiff_t>(levels));
    all.present[i] = 1;
    if (state.plan->rule.needs().losses) {
      const at::Tensor share = noted.abs();
      const at::Tensor part = summed.losses[i].to(share.options()) * share;
      all.losses[i] = all.losses[i].defined() ? all.losses[i] + part : part;
      all.shares[i] = all.shares[i].defined() ? all.shares[i] + share : share;
    }
  }
  if (nodes_made() != before) {
    fail(
        "a checkpoint ran its forward again while the gradients of a micro-batch were formed task by task, and has added to "
        ".grad ",
        "once a task; zero the gradients, and use no checkpoint with calibration.accumulate(), or leave accumulate() out");
  }
  all.scale = all.scale.defined() ? all.scale + noted : noted;
  if (!summed.given.empty()) {
    all.compare(summed.compared.parameters);
    all.named = summed.compared.named;
    all.route = all.route == Route::sum ? Route::sum : summed.route;
    all.seen = summed.seen;
  }
}

/// Has the step start over where the running backward throws after its micro-batch was counted: whoever goes on will come with it
/// again. Owned by the engine's final callbacks, which die unrun then.
class Counted {
 public:
  explicit Counted(std::shared_ptr<State> state) : state_(std::move(state)) {}
  ~Counted() {
    if (!through_) {
      try {
        state_->drop_gathered("the backward of a micro-batch threw");
      } catch (...) {  // NOLINT(bugprone-empty-catch): a warning made an exception of
      }
    }
  }
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;

  void is_through() { through_ = true; }

 private:
  std::shared_ptr<State> state_;
  bool through_ = false;
};

/// The root of a micro-batch: the sum of the present tasks' losses, which leads straight to all that they train.
///
/// Between losses and parameters nothing runs but the passes of one task each, so that nobody there is sent anything that trains
/// nothing.
struct GatheredSum : torch::autograd::Function<GatheredSum> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, at::TensorList /*leaves*/,
                            std::shared_ptr<MicroBatch> batch) {
    at::Tensor total;
    for (const std::size_t i : batch->summed->given) {
      const at::Tensor loss = batch->summed->losses[i].reshape({});
      total = total.defined() ? total + loss : loss.clone();
    }
    context->saved_data["batch"] = capsule(std::move(batch));
    return total.defined() ? total : at::zeros({});
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list gradients) {
    const auto batch = open_capsule<MicroBatch>(context->saved_data["batch"]);
    State& state = *batch->state;
    expect_goes_with_sum(*batch->step, batch->summed);
    try {
      torch::autograd::variable_list to_leaves = refusing_together(state, [&] { return gathered(state, *batch, gradients[0]); });
      to_leaves.emplace_back();  // nothing for the micro-batch
      return to_leaves;
    } catch (...) {
      state.drop_gathered("a micro-batch threw");
      throw;
    }
  }

 private:
  static torch::autograd::variable_list gathered(State& state, const MicroBatch& batch, const at::Tensor& scale) {
    Gathering& gathering = state.gathering;
    ++state.backwards;
    const std::string why = why_not_task_by_task(batch.loss_edges, batch.step->fork_node());
    if (!why.empty()) {
      fail("calibration.accumulate(", gathering.count, ") forms the gradients of a micro-batch task by task, and cannot where ",
           why,
           "; take it away (hooks of parameters may stay, they see the one gradient that trains), or leave accumulate() out: ",
           "each micro-batch then has its own weights");
    }
    if (gathering.plain > 0) {
      gathering.fail_as_unlike();
    }
    expect_unwritten(gathering, *state.names);
    gather(state, batch, scale);
    release_at_end(batch.loss_edges);
    if (++gathering.done < gathering.count) {
      state.shown.gathered = gathering.done;
      // A parameter's hook would be called with nothing.
      std::vector<at::Tensor> sent_nothing;
      std::copy_if(batch.leaves.begin(), batch.leaves.end(), std::back_inserter(sent_nothing),
                   [](const at::Tensor& leaf) { return is_fed_by_this_alone(gradient_edge(leaf).function.get()); });
      const auto aside = std::make_shared<std::optional<HooksAside>>(std::in_place, sent_nothing);
      at_end_of_backward([aside, counted = std::make_shared<Counted>(batch.state)] {
        aside->reset();
        counted->is_through();
      });
      return torch::autograd::variable_list(batch.leaves.size());
    }
    std::vector<WeightedGradient> weighted = weigh_gathered(state);
    gathering.begin_anew();
    state.shown.gathered = 0;
    return sent(batch.leaves, std::move(weighted));
  }

  /// What goes to the leaves of this micro-batch. Parameters that it does not reach, a head's whose task is absent in it, get
  /// theirs when the backward is through.
  static torch::autograd::variable_list sent(const std::vector<at::Tensor>& leaves, std::vector<WeightedGradient> weighted) {
    std::unordered_map<const void*, std::size_t> places;
    for (std::size_t n = 0; n < leaves.size(); ++n) {
      places.emplace(leaves[n].unsafeGetTensorImpl(), n);
    }
    torch::autograd::variable_list to_leaves(leaves.size());
    std::vector<Edge> others;
    std::vector<at::Tensor> of_others;
    for (WeightedGradient& one : weighted) {
      const auto place = places.find(one.parameter.unsafeGetTensorImpl());
      if (place != places.end()) {
        to_leaves[place->second] = std::move(one.gradient);
      } else if (one.parameter.requires_grad()) {  // not frozen since
        others.push_back(gradient_edge(one.parameter));
        of_others.push_back(std::move(one.gradient));
      }
    }
    if (!others.empty()) {
      at_end_of_backward([others, of_others] { run_into_leaves(others, of_others); });
    }
    return to_leaves;
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
