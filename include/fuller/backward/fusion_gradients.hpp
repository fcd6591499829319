// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/agreement.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/backward/ranks_at_gates.hpp>
#include <fuller/graph/libtorch.hpp>
#include <fuller/tensor/ranks.hpp>

// The gradients of fusion weights, on their way to the gates.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Takes the norms of the gradient of fusion weight k: of its slices where it is the one of all branches, else of the whole.
inline void take_norms(GatedPass& pass, std::size_t k, const at::Tensor& gradient) {
  GateEngine& engine = *pass.modalities->engine;
  if (!pass.norms.defined()) {
    pass.norms = engine.no_norms();
  }
  const BranchSlices slices = pass.reads.slices(k);
  engine.take_norms(gradient, slices, pass.norms);
  const auto channels = static_cast<double>(gradient.size(slices.dim));
  for (std::size_t m = 0; m < slices.widths.size(); ++m) {
    pass.shown.sizes[slices.first + m] = static_cast<double>(gradient.numel()) * static_cast<double>(slices.widths[m]) / channels;
  }
}

/// Takes the norms of a fusion weight's gradient for the pass whose backward runs.
inline void receive_fusion_gradient(Modalities& modalities, const void* weight, const at::Tensor& gradient) {
  if (!gradient.defined()) {
    return;
  }
  const at::NoGradGuard no_grad;
  for (const auto& pass : modalities.open_passes.alive()) {
    if (pass->context.nested() > 0 || !is_in_backward(pass->node)) {
      continue;
    }
    pass->begin();
    for (std::size_t k = 0; k < pass->hooked.size(); ++k) {
      if (pass->hooked[k] != weight) {
        continue;
      }
      if (pass->context.ranks().average) {
        pass->gradients[k] = gradient.clone();
      } else {
        take_norms(*pass, k, gradient);
      }
      pass->weights_seen[k] = true;
    }
  }
}

/// Makes the pass's gradients, and which branches are present, those of all ranks together, and takes the norms.
/// @return false, with no norms taken, where no rank has anything to gate.
inline bool take_norms_of_all_ranks(GatedPass& pass, bool anything_here) {
  const at::NoGradGuard no_grad;
  State& state = pass.context.of_all_levels();
  const Ranks& ranks = pass.context.ranks();
  const std::vector<at::Tensor> weights = pass.reads.tensors();
  const std::int64_t step = state.engine->steps_begun();
  std::vector<std::uint8_t>& present = pass.shown.present;
  present.push_back(anything_here ? 1 : 0);
  std::optional<Agreement> agreed;
  if (ranks.alike) {
    // all ranks are as this one
  } else if (ranks.rank < 0) {
    agree_on_presence(ranks, present, {"which branches are present", step});
  } else {
    Intent mine;
    mine.doing = Doing::gate;
    mine.step = step;
    mine.present = present;
    note_layout(weights, mine);
    agreed.emplace(agree(state, std::move(mine)));
    std::copy_n(agreed->present().begin(), present.size(), present.begin());
  }
  const bool anything = present.back() != 0;
  present.pop_back();
  if (!anything) {
    return false;
  }
  const FlatLists layout(weights, 1);
  std::vector<at::Tensor> flat = layout.packed({std::exchange(pass.gradients, std::vector<at::Tensor>(weights.size()))});
  state.shown.bytes_averaged += layout.bytes();
  average(ranks, flat, {"the fusion weight's gradient", step});
  average_scores(state);
  for (std::size_t k = 0; k < weights.size(); ++k) {
    if (weights[k].defined()) {
      take_norms(pass, k, layout.piece(flat, 0, k).view(weights[k].sizes()));
    }
  }
  if (agreed && agreed->any_gives_zeros()) {
    share_norms(state, *agreed, pass.norms, pass.shown);
  }
  return true;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
