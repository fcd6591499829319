// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/agreement.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/tensor/ranks.hpp>

// Gates on several ranks: also on one that has no branch in the step.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Gives every rank the norms and sizes that the first rank with a branch has. Others cannot take them of the averaged gradients,
/// whose shapes they do not know; and all take what comes back, so that all have the same bits.
inline void share_norms(State& state, const Agreement& agreed, const at::Tensor& norms, BranchesShown& shown) {
  const Ranks& ranks = state.options().ranks;
  const std::size_t branches = shown.sizes.size();
  std::vector<double> numbers(2 * branches, 0.0);
  if (&agreed.all()[static_cast<std::size_t>(ranks.rank)] == agreed.first_busy()) {
    const at::Tensor here = norms.to(at::kCPU);
    std::copy_n(here.data_ptr<double>(), branches, numbers.begin());
    std::copy(shown.sizes.begin(), shown.sizes.end(), numbers.begin() + static_cast<std::ptrdiff_t>(branches));
  }
  state.shown.bytes_averaged += static_cast<std::int64_t>(numbers.size() * sizeof(double));
  average(ranks, numbers, {"the norms of the branches", state.engine->steps_begun()});
  std::for_each(numbers.begin(), numbers.end(), [&](double& number) { number *= ranks.count; });
  norms.copy_(at::tensor(at::ArrayRef<double>(numbers.data(), branches), at::kDouble));
  for (std::size_t m = 0; m < branches; ++m) {
    shown.sizes[m] = numbers[branches + m];
  }
}

/// Makes the scores of this step the means over the ranks that handed one in; on a rank that handed in none, too.
inline void average_scores(State& state) {
  Modalities& modalities = *state.modalities;
  if (!modalities.law.reads_scores()) {
    return;
  }
  const at::Tensor scores = modalities.engine->scores();
  const at::Tensor given = at::zeros_like(scores);
  for (std::size_t m = 0; m < modalities.scored.size(); ++m) {
    given.narrow(0, static_cast<std::int64_t>(m), 1).fill_(modalities.scored[m] != 0 ? 1 : 0);
  }
  std::vector<at::Tensor> both{at::cat({at::where(given.gt(0), scores, at::zeros_like(scores)), given})};
  state.shown.bytes_averaged += both.front().numel() * static_cast<std::int64_t>(sizeof(double));
  average(state.options().ranks, both, {"the scores of the branches", state.engine->steps_begun()});
  const std::int64_t branches = scores.numel();
  const at::Tensor ranks = both.front().narrow(0, branches, branches);
  const at::Tensor none = at::full_like(scores, quiet_nan);
  scores.copy_(at::where(ranks.gt(0), both.front().narrow(0, 0, branches).div(ranks), none));
}

/// Takes part in the gates of other ranks without a branch: adds zeros to their gradients, and moves the gates as they do.
inline void take_part_in_gates(State& state, const Agreement& agreed) {
  const at::NoGradGuard no_grad;
  Modalities& modalities = *state.modalities;
  const std::size_t branches = modalities.names.size();
  const std::vector<std::uint8_t> present = agreed.present();
  const Intent* busy = agreed.first_busy();
  if (busy == nullptr || present[branches] == 0) {
    return;
  }
  const FlatLists layout(busy->floats, busy->doubles, at::kCPU, 1);
  std::vector<at::Tensor> zeros = layout.packed({});
  state.shown.bytes_averaged += layout.bytes();
  average(state.options().ranks, zeros, {"the fusion weight's gradient", state.engine->steps_begun()});
  average_scores(state);
  BranchesShown shown{{present.begin(), present.begin() + static_cast<std::ptrdiff_t>(branches)},
                      std::vector<double>(branches, 0.0)};
  const at::Tensor norms = modalities.engine->no_norms();
  share_norms(state, agreed, norms, shown);
  modalities.shown = shown;
  modalities.engine->open(norms, shown);
  modalities.scored.clear();
  modalities.moved_in = state.backwards;
  if (modalities.target == GateTarget::update) {
    modalities.pending.begin(branches);
  }
}

/// The same after a backward, or an idle step, of this rank in whose like another rank passes gates.
inline void join_gates(State& state) {
  Intent mine;
  mine.doing = Doing::no_gate;
  mine.step = state.engine->steps_begun();
  take_part_in_gates(state, agree(state, std::move(mine)));
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
