// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include <fuller/backward/branch_gate.hpp>
#include <fuller/backward/shown.hpp>
#include <fuller/backward/state.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/copies.hpp>
#include <fuller/engine/task_engine.hpp>

namespace fuller {
/// What Calibration::diagnostics() would show, on its way to the host. Outlives the calibration.
class Snapshot {
 public:
  /// Of a calibration's levels, the second null where there is none: one small copy each, no wait.
  Snapshot(const detail::State& state, const detail::Modalities* modalities)
      : plan_(state.plan), names_(state.names), shown_(state.shown), record_(state.engine->send()) {
    if (modalities != nullptr) {
      modalities_ = std::make_unique<detail::Modalities>(modalities->gate, modalities->names);
      modalities_->present = modalities->present;
      modalities_->scales = modalities->scales;
      modalities_->squared_norms = modalities->squared_norms;
      if (modalities->device) {
        of_gates_.emplace(modalities->device->packed());
      }
    }
  }

  /// Whether diagnostics() would wait no longer.
  bool is_there() const { return record_.is_there() && (!of_gates_ || of_gates_->is_there()); }

  /// The diagnostics of the step after which it was taken; waits until they have arrived. Throws for no NaN.
  Diagnostics diagnostics() {
    Diagnostics out;
    detail::describe_tasks(*plan_, *names_, shown_, record_.wait(), out);
    if (modalities_) {
      if (of_gates_) {
        modalities_->unpack(of_gates_->wait());
      }
      detail::describe_modalities(*modalities_, out);
    }
    return out;
  }

 private:
  std::shared_ptr<const detail::Plan> plan_;
  std::shared_ptr<const detail::ParameterNames> names_;
  detail::Shown shown_;
  detail::RecordOnItsWay record_;
  std::unique_ptr<detail::Modalities> modalities_;
  std::optional<detail::PinnedCopy> of_gates_;
};

}  // namespace fuller
