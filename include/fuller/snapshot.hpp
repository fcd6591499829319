// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <fuller/backward/describe_modalities.hpp>
#include <fuller/backward/modalities.hpp>
#include <fuller/backward/shown.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/copies.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/gates/norms.hpp>

namespace fuller {
inline namespace v0_1 {
/// What Calibration::diagnostics() would show, on its way from a device to the host: what Calibration::snapshot() returns. It may
/// outlive the calibration.
class Snapshot {
 public:
  /// Starts one small copy for the tasks and one for the gates, if there are any (`modalities` may be null). Waits for nothing.
  Snapshot(const detail::State& state, const detail::Modalities* modalities)
      : plan_(state.plan), names_(state.names), shown_(state.shown), record_(state.engine->send()) {
    if (modalities != nullptr) {
      gates_.emplace(Gates{modalities->names, modalities->law.norm(), modalities->shown, modalities->engine->layout(),
                           detail::PinnedCopy(modalities->engine->packed())});
    }
  }

  /// Whether everything has arrived, so that diagnostics() would not wait. Waits for nothing.
  bool is_there() const { return record_.is_there() && (!gates_ || gates_->numbers.is_there()); }

  /// The diagnostics of the step after which the snapshot was taken. Waits until they have arrived; allocates. Does not throw
  /// NonFiniteError, whatever the policy.
  Diagnostics diagnostics() {
    Diagnostics out;
    detail::describe_tasks(*plan_, *names_, shown_, record_.wait(), out);
    if (gates_) {
      detail::describe_modalities(gates_->names, gates_->norm, gates_->shown, gates_->layout.unpack(gates_->numbers.wait()), out);
    }
    return out;
  }

 private:
  struct Gates {
    std::vector<std::string> names;
    GateNorm norm;
    detail::BranchesShown shown;
    detail::GateLayout layout;
    detail::PinnedCopy numbers;
  };

  std::shared_ptr<const detail::Plan> plan_;
  std::shared_ptr<const detail::ParameterNames> names_;
  detail::Shown shown_;
  detail::RecordOnItsWay record_;
  std::optional<Gates> gates_;
};

}  // namespace v0_1
}  // namespace fuller
