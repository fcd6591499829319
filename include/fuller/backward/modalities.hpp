// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/backward/gate_context.hpp>
#include <fuller/backward/pending_updates.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/graph/gradient_substitutes.hpp>
#include <fuller/graph/running.hpp>
#include <fuller/graph/walk.hpp>
#include <fuller/tensor/fusion_weight.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What the modality level keeps from step to step, but for the engine's numbers.
struct Modalities {
  struct Hook {
    at::Tensor weight;
    unsigned id = 0;
  };

  Modalities(GateLaw gate_law, GateTarget multiplied, std::vector<std::string> branch_names, std::shared_ptr<GateEngine> where)
      : law(std::move(gate_law)),
        target(multiplied),
        names(std::move(branch_names)),
        engine(std::move(where)),
        shown{std::vector<std::uint8_t>(names.size(), 0), std::vector<double>(names.size(), 0.0)},
        widths(names.size(), 0) {}
  ~Modalities() {
    for (auto& entry : hooks) {
      try {
        entry.second.weight.remove_hook(entry.second.id);
      } catch (const std::exception&) {  // NOLINT(bugprone-empty-catch): the user has cleared the weight's hooks, ours too
      }
    }
  }
  Modalities(const Modalities&) = delete;
  Modalities& operator=(const Modalities&) = delete;

  GateLaw law;
  GateTarget target;
  std::vector<std::string> names;
  std::shared_ptr<GateEngine> engine;
  BranchesShown shown;  ///< in the last step
  /// Which branches this rank handed a score in for, in the step to come; empty where scores() was not called for it.
  std::vector<std::uint8_t> scored;
  std::vector<std::int64_t> widths;             ///< channels of each branch, as last seen
  std::unordered_map<const void*, Hook> hooks;  ///< one for each fusion weight
  OpenPasses<GatedPass> open_passes;            ///< those whose graph is alive
  std::int64_t moved_in = -1;                   ///< GateContext::backwards() when the gates moved last
  PendingUpdates pending;                       ///< gates on updates that no step() has applied yet
};

/// Cotangents of one unweighted loss at a gate in the backward that runs, and the parameters beyond that are to get them, gated.
struct PlainCotangents {
  std::weak_ptr<const Running> run;
  std::weak_ptr<GradientSubstitutes> into;  ///< which the backward keeps
  std::vector<at::Tensor> parameters;
  std::vector<at::Tensor> cotangents;  ///< one for each branch that passes through
};

/// Sums that train what lies upstream of a gate, in the backward that runs: they wait at the leaves for its scales.
struct WaitingSums {
  std::weak_ptr<const Running> run;
  std::weak_ptr<GradientSubstitutes> at;             ///< which the backward keeps
  std::vector<std::vector<at::Tensor>> of_branches;  ///< the leaves, for each branch that passes through
};

/// One forward pass through a gate, until its backward has run.
struct GatedPass {
  GatedPass(GateContext calibration, std::shared_ptr<Modalities> level, FusionReads weights)
      : context(std::move(calibration)), modalities(std::move(level)), reads(std::move(weights)) {
    shown.sizes.assign(modalities->names.size(), 0.0);
    gradients.resize(reads.count());
  }

  GateContext context;
  std::shared_ptr<Modalities> modalities;
  FusionReads reads;                ///< the weights
  std::vector<const void*> hooked;  ///< what each is called by its hook; null where its branch is absent
  const Node* node = nullptr;       ///< the gate's node
  BranchesShown shown;
  std::vector<std::size_t> through;   ///< the branches that pass through the node, in its order
  at::Tensor norms;                   ///< [M] squared norms, where the engine has them; undefined until one is taken
  std::vector<at::Tensor> gradients;  ///< of the weights, where ranks have to average them first
  std::vector<bool> weights_seen;     ///< whose gradients the backward that runs has shown
  std::weak_ptr<const Running> run;   ///< and which that is
  std::vector<PlainCotangents> plain;
  std::vector<WaitingSums> sums;
  JoinedBranches joined;  ///< while this lives, walks tell its branches apart
  bool shut = false;      ///< lets nothing through in nested passes

  /// Forgets what another backward has shown.
  void begin() {
    if (Running::is(run)) {
      return;
    }
    run = Running::now();
    weights_seen.assign(reads.count(), false);
    norms = at::Tensor();
    gradients.assign(gradients.size(), at::Tensor());
  }
};

/// Has gates scale what waits on top at leaves of their branches, when they know by how much.
inline void have_gates_scale(const State& state, std::vector<LeavesOfBranch> branches,
                             const std::shared_ptr<GradientSubstitutes>& sums) {
  for (const auto& gate : state.open_gates.alive()) {
    const auto is_its = [&](const LeavesOfBranch& branch) { return branch.gate == gate->node; };
    if (std::none_of(branches.begin(), branches.end(), is_its)) {
      continue;
    }
    WaitingSums waiting{Running::now(), sums, std::vector<std::vector<at::Tensor>>(gate->through.size())};
    for (LeavesOfBranch& branch : branches) {
      if (is_its(branch)) {
        waiting.of_branches[branch.output] = std::move(branch.leaves);
      }
    }
    gate->sums.push_back(std::move(waiting));
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
