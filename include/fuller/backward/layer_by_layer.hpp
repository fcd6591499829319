// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/graph/pull_together.hpp>
#include <fuller/tensor/ghost_gram.hpp>

// The Gram matrix of all shared parameters, of which no task gradient is ever held whole: where TaskMemory::layer_by_layer asks
// for it, and where linear layers of few rows are compared without gradients of their weights.

namespace fuller {
inline namespace v0_1 {
namespace detail {

inline bool goes_layer_by_layer(const State& state) {
  return state.plan->surface == Surface::all_shared && state.options().memory == TaskMemory::layer_by_layer;
}

/// What is known when all tasks have passed.
struct ComparedByLayers {
  std::vector<bool> reached;  ///< T: whether the task has a gradient of any shared parameter
  TaskTensors of_heads;       ///< T lists: the gradients of heads that were asked for
};

/// All tasks' way from what they send into the graph to the shared parameters, and to those of heads that are asked for.
class LayerByLayer {
 public:
  /// @param heads  parameters of one task alone, T lists or none
  LayerByLayer(State& state, Step& step, const std::vector<SentTogether>& sent, const std::vector<std::vector<at::Tensor>>& heads)
      : state_(state),
        step_(step),
        heads_(heads),
        tasks_(state.tasks().size()),
        shared_(step.summed->compared.edges.size()),
        pulled_(sent, targets_of(step.summed->compared.edges), tasks_) {}

  /// Whether all shared matrices are compared by rows for less than their gradients take, and what else is shared is smaller: a
  /// pass for each task then costs its half, and what trains is one pass more.
  bool rows_pay(int present) const {
    std::vector<bool> by_rows(shared_, false);
    pulled_.for_each_matrix([&](std::size_t target, const at::Tensor& x) {
      if (target < shared_) {
        const std::int64_t in = x.size(1);
        by_rows[target] = in > 0 && ghost_pays(x.size(0), in, parameter(target).numel() / in, present);
      }
    });
    std::int64_t numbers_by_rows = 0;
    std::int64_t others = 0;
    for (std::size_t k = 0; k < shared_; ++k) {
      if (!by_rows[k] && parameter(k).dim() > 1) {
        return false;
      }
      (by_rows[k] ? numbers_by_rows : others) += parameter(k).numel();
    }
    return others < numbers_by_rows;
  }

  /// Compares the tasks, and puts the Gram matrix into `shown`.
  ComparedByLayers compare(StepEvidence& shown) {
    ComparedByLayers found{std::vector<bool>(tasks_, false), TaskTensors(tasks_)};
    for (std::size_t i = 0; i < heads_.size(); ++i) {
      found.of_heads[i].resize(heads_[i].size());
    }
    const auto note = [&](const std::vector<at::Tensor>& came) {
      for (std::size_t i = 0; i < tasks_; ++i) {
        found.reached[i] = found.reached[i] || came[i].defined();
      }
    };
    const auto take = [&](std::size_t target, std::vector<at::Tensor> gradients) {
      if (target >= shared_) {
        const auto [i, p] = of_heads_[target - shared_];
        found.of_heads[i][p] = std::move(gradients[i]);
        return;
      }
      note(gradients);
      step_.pass.count_apart(gradients);
      state_.engine->add_gram(gradients, shown.gram);
    };
    const auto take_rows = [&](std::size_t target, const at::Tensor& x, const std::vector<at::Tensor>& of_product) {
      if (target >= shared_ || !state_.engine->add_gram_by_rows(x, of_product, shown.gram)) {
        return false;
      }
      note(of_product);
      return true;
    };
    pulled_.run(state_.nested, take, take_rows);
    for (const std::uint8_t present : step_.pass.outcome.present) {
      step_.pass.passes += present;
    }
    for (const auto& of_task : found.of_heads) {
      step_.pass.bytes_kept += Pass::bytes_of(of_task);
    }
    if (!shown.gram.defined()) {  // nothing is shared that a task reaches
      state_.engine->add_gram(std::vector<at::Tensor>(tasks_), shown.gram);
    }
    return found;
  }

 private:
  const at::Tensor& parameter(std::size_t target) const { return step_.summed->compared.parameters[target]; }

  std::vector<Edge> targets_of(std::vector<Edge> shared) {
    for (std::size_t i = 0; i < heads_.size(); ++i) {
      for (std::size_t p = 0; p < heads_[i].size(); ++p) {
        shared.push_back(gradient_edge(heads_[i][p]));
        of_heads_.emplace_back(i, p);
      }
    }
    return shared;
  }

  State& state_;
  Step& step_;
  const std::vector<std::vector<at::Tensor>>& heads_;
  std::size_t tasks_;
  std::size_t shared_;
  std::vector<std::pair<std::size_t, std::size_t>> of_heads_;  ///< a task, and a parameter of its
  PulledTogether pulled_;
};

inline std::vector<Edge> roots_of(const std::vector<SentTogether>& sent) {
  std::vector<Edge> roots;
  for (const SentTogether& one : sent) {
    roots.push_back(one.into);
  }
  return roots;
}

/// TaskMemory::layer_by_layer.
/// @param passable  a node of fuller's on the way that sends on what it is given, or null
/// @param heads     parameters of one task alone, T lists, whose gradients are wanted besides
/// @throws Error where other nodes of fuller's are on the way, or parts of the model on another device, and in a backward to some
///         inputs alone.
inline ComparedByLayers compare_layer_by_layer(State& state, Step& step, const std::vector<SentTogether>& sent,
                                               const Node* passable, const std::vector<std::vector<at::Tensor>>& heads,
                                               StepEvidence& shown) {
  const std::string why = why_not_together(roots_of(sent), passable);
  if (!why.empty()) {
    fail("options.memory is TaskMemory::layer_by_layer, which does not go with ", why,
         "; choose TaskMemory::all_layers, or Surface::representation");
  }
  step.pass.one_more = "options.memory is TaskMemory::layer_by_layer";
  return LayerByLayer(state, step, sent, heads).compare(shown);
}

/// The same where nobody has asked for it, if linear layers of few rows are all that is shared: nothing otherwise.
inline std::optional<ComparedByLayers> compare_by_rows(State& state, Step& step, const std::vector<SentTogether>& sent,
                                                       int present, StepEvidence& shown) {
  const std::vector<at::Tensor>& shared = step.summed->compared.parameters;
  const bool may_pay =
      state.engine->compares_layers() && !state.options().ranks.average && present > 1 &&
      std::all_of(shared.begin(), shared.end(), [](const at::Tensor& one) { return one.dim() <= 2 && one.device().is_cpu(); });
  if (!may_pay || !why_not_together(roots_of(sent)).empty()) {
    return std::nullopt;
  }
  const std::vector<std::vector<at::Tensor>> no_heads;
  LayerByLayer layers(state, step, sent, no_heads);
  if (!layers.rows_pay(present)) {
    return std::nullopt;
  }
  step.pass.one_more = "linear layers of few rows, which are compared without gradients of their weights";
  return layers.compare(shown);
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
