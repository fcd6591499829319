// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <fuller/backward/branch_gate.hpp>
#include <fuller/backward/step.hpp>
#include <fuller/diagnostics.hpp>

namespace fuller {
namespace detail {

/// Numbers on their way to pinned memory of the host.
class PinnedCopy {
 public:
  explicit PinnedCopy(const at::Tensor& numbers) {
    const at::Device device = numbers.device();
    host_ = at::empty(numbers.sizes(), numbers.options().device(at::kCPU).pinned_memory(!device.is_cpu()));
    host_.copy_(numbers, /*non_blocking=*/true);
    if (!device.is_cpu()) {
      arrived_.emplace(device.type());
      arrived_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
    }
  }

  bool is_there() const { return !arrived_ || arrived_->query(); }
  const at::Tensor& wait() const {
    while (!is_there()) {
      std::this_thread::yield();
    }
    return host_;
  }

 private:
  at::Tensor host_;
  std::optional<c10::Event> arrived_;
};

}  // namespace detail

/// What Calibration::diagnostics() would show, on its way to the host. Outlives the calibration.
class Snapshot {
 public:
  /// Of a calibration's levels, the second null where there is none: one small copy each, no wait.
  Snapshot(const detail::State& state, const detail::Modalities* modalities) : state_(state), tasks_(state.device) {
    state_.open_steps.clear();
    state_.open_gates.clear();
    state_.named_heads.clear();
    if (tasks_) {
      numbers_.emplace(tasks_->packed());
    }
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
  bool is_there() const { return (!numbers_ || numbers_->is_there()) && (!of_gates_ || of_gates_->is_there()); }

  /// The diagnostics of the step after which it was taken; waits until they have arrived. Throws for no NaN.
  Diagnostics diagnostics() {
    if (numbers_) {
      tasks_->unpack(numbers_->wait(), state_);
    }
    Diagnostics out;
    detail::describe_tasks(state_, out);
    if (modalities_) {
      if (of_gates_) {
        modalities_->unpack(of_gates_->wait());
      }
      detail::describe_modalities(*modalities_, out);
    }
    return out;
  }

 private:
  detail::State state_;
  std::shared_ptr<detail::TasksOnDevice> tasks_;
  std::optional<detail::PinnedCopy> numbers_;
  std::unique_ptr<detail::Modalities> modalities_;
  std::optional<detail::PinnedCopy> of_gates_;
};

}  // namespace fuller
