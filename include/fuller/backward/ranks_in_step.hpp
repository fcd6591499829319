// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/full.h>

#include <fuller/backward/agreement.hpp>
#include <fuller/backward/layer_of_ranks.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/backward/ranks_at_gates.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/graph/libtorch.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The other ranks in the backward of one sum: has them agree before anything is reduced, and sees this rank through to the end
/// of what they reduce.
class RanksInStep {
 public:
  /// `step.pass.outcome` tells the tasks that are present here, and whether gradients are compared; afterwards the tasks that are
  /// present anywhere.
  /// @throws Error on every rank where they cannot go on together.
  RanksInStep(State& state, Step& step, Doing doing) {
    const Ranks& ranks = state.options().ranks;
    Outcome& outcome = step.pass.outcome;
    if (!ranks.average || ranks.alike) {
      return;
    }
    if (ranks.rank < 0) {
      if (doing != Doing::plain) {
        agree_on_presence(ranks, outcome.present, {"which tasks are present", state.engine->steps_begun()});
      }
      return;
    }
    const auto passes = state.open_gates.alive();
    Intent mine;
    mine.doing = doing;
    mine.step = state.engine->steps_begun();
    mine.gates = std::count_if(passes.begin(), passes.end(), [](const auto& pass) { return is_in_backward(pass->node); });
    gates_here_ = mine.gates > 0;
    mine.present = outcome.present;
    if (doing != Doing::plain) {
      mine.measured = outcome.measured ? 1 : 0;
      if (outcome.measured && (state.plan->surface != Surface::representation || doing == Doing::sum)) {
        note_layout(step.summed->compared.parameters, mine);
        if (doing == Doing::fork && state.plan->surface != Surface::all_shared) {
          note_layer(layer_input(state, step.summed->compared), step.summed->compared, mine);
        }
      }
      mine.scale = step.pass.noted_scale.item<double>();
    }
    agreed_.emplace(agree(state, std::move(mine)));
    apply(*agreed_, step.pass, state);
  }

  /// Where gates are passed in other ranks' backwards and not in this one's: takes part.
  void join_gates(State& state) const {
    if (agreed_ && !gates_here_ && agreed_->any_passes_gates()) {
      detail::join_gates(state);
    }
  }

  /// Has a pass know what is present on any rank, the loss scale of all ranks together, and by what they compare a linear layer.
  static void apply(const Agreement& agreed, Pass& pass, const State& state) {
    const std::vector<std::uint8_t> present = agreed.present();
    std::copy_n(present.begin(), pass.outcome.present.size(), pass.outcome.present.begin());
    if (agreed.first_busy()->doing != Doing::plain) {
      const auto rank = static_cast<std::size_t>(state.options().ranks.rank);
      pass.share = std::abs(agreed.all()[rank].scale);
      pass.rows = rows_of_ranks(agreed, rank);
      pass.noted_scale = at::full({}, agreed.scale(), at::kDouble);
    }
  }

 private:
  std::optional<Agreement> agreed_;
  bool gates_here_ = false;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
