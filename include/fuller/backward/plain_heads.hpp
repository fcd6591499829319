// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/branch_gate.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>
#include <fuller/graph/gradient_substitutes.hpp>
#include <fuller/graph/libtorch.hpp>
#include <fuller/graph/pull_back.hpp>

// What heads get that are not to be weighted, where the losses are: the gradients of the unweighted losses.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The calibration's gates that the running backward passes, and the parameters beyond them: what those get is not known before
/// the gates are.
class GatesOnTheWay {
 public:
  explicit GatesOnTheWay(const State& state) {
    if (state.plan->apply_to != ApplyTo::shared_only) {
      return;  // then no head gets a gradient of its unweighted loss
    }
    for (auto& gate : state.open_gates.alive()) {
      if (!is_in_backward(gate->node) || gate->modalities->target != GateTarget::gradient) {
        continue;
      }
      for (const Edge& branch : gate->node->next_edges()) {
        walk(branch, [&](const Edge& edge) {
          if (const at::Tensor* leaf = leaf_of(edge.function.get())) {
            beyond_.insert(leaf->unsafeGetTensorImpl());
          }
          return true;
        });
      }
      gates_.push_back(std::move(gate));
    }
  }

  bool are_before(const at::Tensor& parameter) const { return beyond_.count(parameter.unsafeGetTensorImpl()) != 0; }

  /// The parameters of `list` that lie beyond a gate, or those that do not.
  std::vector<at::Tensor> among(const std::vector<at::Tensor>& list, bool beyond) const {
    std::vector<at::Tensor> some;
    for (const at::Tensor& parameter : list) {
      if (are_before(parameter) == beyond) {
        some.push_back(parameter);
      }
    }
    return some;
  }

  const std::vector<std::shared_ptr<GatedPass>>& gates() const { return gates_; }

 private:
  std::vector<std::shared_ptr<GatedPass>> gates_;
  std::unordered_set<const void*> beyond_;
};

/// Has the parameters of a head that lie beyond a gate get the gated gradient of the unweighted loss: what comes around the gate
/// is formed now, with the gate shut, and what goes through it when it opens.
inline void put_plain_beyond(State& state, const GatesOnTheWay& on_the_way, const Edge& loss, const at::Tensor& scale,
                             const std::vector<at::Tensor>& beyond, const std::shared_ptr<GradientSubstitutes>& substitutes) {
  std::vector<Edge> targets;
  for (const at::Tensor& parameter : beyond) {
    targets.push_back(gradient_edge(parameter));
  }
  std::vector<std::size_t> first;  // where each gate's cotangents begin
  for (const auto& gate : on_the_way.gates()) {
    first.push_back(targets.size());
    Edge entry;
    walk(loss, [&](const Edge& edge) {
      entry = edge.function.get() == gate->node ? edge : entry;
      return !entry.function;
    });
    for (std::size_t k = 0; entry.function && k < gate->through.size(); ++k) {
      targets.emplace_back(entry.function, static_cast<std::uint32_t>(k));
    }
    first.push_back(targets.size());
    gate->shut = true;
  }
  struct Opens {
    const GatesOnTheWay& all;
    ~Opens() {
      for (const auto& gate : all.gates()) {
        gate->shut = false;
      }
    }
  };
  std::vector<at::Tensor> formed;
  {
    const Opens opens{on_the_way};
    const HooksAside aside(beyond);
    formed = pull_back({loss}, {scale}, targets, state.nested);
  }
  for (std::size_t k = 0; k < beyond.size(); ++k) {
    substitutes->put(beyond[k], formed[k]);
  }
  for (std::size_t g = 0; g < on_the_way.gates().size(); ++g) {
    const auto from = formed.begin() + static_cast<std::ptrdiff_t>(first[2 * g]);
    const auto to = formed.begin() + static_cast<std::ptrdiff_t>(first[2 * g + 1]);
    on_the_way.gates()[g]->plain.push_back({Running::now(), substitutes, beyond, {from, to}});
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
