// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/engine/plan.hpp>
#include <fuller/engine/task_engine.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What the engines on a device have in common: a record of which the numbers are there, and the rest here.
class DeviceTasks : public TaskEngine {
 public:
  DeviceTasks(std::shared_ptr<const Plan> plan, at::Device device)
      : plan_(std::move(plan)),
        device_(device),
        layout_(plan_->tasks.size(), plan_->rule.state_size()),
        last_(plan_->tasks.size()) {}

  std::optional<at::Device> device() const final { return device_; }
  bool fails_later() const final { return true; }
  at::Tensor noted(const at::Tensor& scale) final {
    return scale.to(device_, at::kDouble, /*non_blocking=*/false, /*copy=*/true);
  }

  RecordOnItsWay send() const final { return {last_, layout_, numbers()}; }
  void settle(Outcome& outcome) final {
    const bool weighed = outcome.weighed;
    outcome = read().last;
    outcome.weighed = weighed;
    expect_finite();
  }

 protected:
  Record known() const final { return send().wait(); }

  const Plan& plan() const { return *plan_; }
  const RecordLayout& layout() const { return layout_; }
  /// What the host knows of the last step.
  void remember(const Outcome& outcome) { last_ = outcome; }

  /// The record's numbers in their layout, on the device.
  virtual at::Tensor numbers() const = 0;

  /// The losses as [T] doubles; 0 where a task is absent.
  static void gather(const std::vector<at::Tensor>& losses, const at::Tensor& slots) {
    for (std::size_t i = 0; i < losses.size(); ++i) {
      const at::Tensor slot = slots.narrow(0, static_cast<std::int64_t>(i), 1);
      if (losses[i].defined()) {
        slot.copy_(losses[i].reshape({1}));
      } else {
        slot.zero_();
      }
    }
  }

 private:
  std::shared_ptr<const Plan> plan_;
  at::Device device_;
  RecordLayout layout_;
  Outcome last_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
