// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fuller/backward/describe_modalities.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/backward/shown.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/core/member.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/copies.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/gates/norms.hpp>
#include <fuller/snapshot.hpp>

// What the members of Snapshot do; what they promise is in snapshot.hpp.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What a snapshot holds.
struct Taken {
  struct Gates {
    std::vector<std::string> names;
    GateNorm norm;
    BranchesShown shown;
    GateLayout layout;
    PinnedCopy numbers;
  };

  std::shared_ptr<const Plan> plan;
  std::shared_ptr<const ParameterNames> names;
  Shown shown;
  RecordOnItsWay record;
  std::optional<Gates> gates;
};

}  // namespace detail

FULLER_MEMBER Snapshot::Snapshot(const detail::State& state, const detail::Modalities* modalities)
    : taken_(std::make_shared<detail::Taken>(
          detail::Taken{state.plan, state.names, state.shown, state.engine->send(), std::nullopt})) {
  if (modalities != nullptr) {
    taken_->gates.emplace(detail::Taken::Gates{modalities->names, modalities->law.norm(), modalities->shown,
                                               modalities->engine->layout(), detail::PinnedCopy(modalities->engine->packed())});
  }
}

FULLER_MEMBER bool Snapshot::is_there() const {
  return taken_->record.is_there() && (!taken_->gates || taken_->gates->numbers.is_there());
}

FULLER_MEMBER Diagnostics Snapshot::diagnostics() {
  Diagnostics out;
  detail::describe_tasks(*taken_->plan, *taken_->names, taken_->shown, taken_->record.wait(), out);
  if (taken_->gates) {
    const detail::Taken::Gates& gates = *taken_->gates;
    detail::describe_modalities(gates.names, gates.norm, gates.shown, gates.layout.unpack(gates.numbers.wait()), out);
  }
  return out;
}

}  // namespace v0_1
}  // namespace fuller
