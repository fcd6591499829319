// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <fuller/engine/plan.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/tensor/ranks.hpp>
#include <fuller/tensor/reductions.hpp>

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

  void add_gram(const std::vector<at::Tensor>& gradients, at::Tensor& gram) const final {
    const c10::NoGradGuard no_grad;
    const auto first = std::find_if(gradients.begin(), gradients.end(), [](const at::Tensor& g) { return g.defined(); });
    if (first == gradients.end()) {
      return;
    }
    std::vector<at::Tensor> rows;
    for (const at::Tensor& gradient : gradients) {
      rows.push_back(gradient.defined() ? gradient : at::zeros_like(*first));
    }
    const at::Tensor products = gram_by_aten(rows);
    gram = gram.defined() ? gram.add_(products) : products;
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

  /// The losses as [T] doubles, on several ranks the means over those that have them; 0 where a task is absent.
  void gather(const StepEvidence& shown, const at::Tensor& slots) const {
    gather(shown.losses, slots);
    const Ranks& ranks = plan_->options.ranks;
    if (!ranks.average) {
      return;
    }
    const at::Tensor shares = at::zeros_like(slots);
    for (std::size_t i = 0; i < shown.losses.size(); ++i) {
      if (shown.losses[i].defined()) {
        const at::Tensor slot = shares.narrow(0, static_cast<std::int64_t>(i), 1);
        shown.shares.empty() ? slot.fill_(shown.share) : slot.copy_(shown.shares[i].reshape({1}));
      }
    }
    std::vector<at::Tensor> both{at::cat({slots.mul(shares), shares})};
    detail::average(ranks, both, {"the losses", steps_begun()});
    const std::int64_t tasks = slots.numel();
    const at::Tensor total = both.front().narrow(0, tasks, tasks);
    slots.copy_(at::where(total.gt(0), both.front().narrow(0, 0, tasks).div(total), at::zeros_like(total)));
  }

  /// The Gram matrix of the task gradients, [T, T] doubles on the device; where each rank has other samples, that of all of them.
  at::Tensor gram_of(const StepEvidence& shown) const {
    if (shown.gram.defined()) {
      return shown.gram;
    }
    check_gradients(shown.gradients);
    std::size_t length = 0;
    for (const auto& list : shown.gradients) {
      length = std::max(length, list.size());
    }
    const auto tasks = static_cast<std::int64_t>(plan_->tasks.size());
    at::Tensor gram = at::zeros({tasks, tasks}, at::TensorOptions().device(device_).dtype(at::kDouble));
    for (std::size_t k = 0; k < length; ++k) {
      std::vector<at::Tensor> of_one;
      for (const auto& list : shown.gradients) {
        of_one.push_back(list.empty() ? at::Tensor() : list[k]);
      }
      add_gram(of_one, gram);
    }
    if (adds_grams(shown)) {
      std::vector<at::Tensor> mean{gram};
      detail::average(plan_->options.ranks, mean, {"the Gram matrix", steps_begun()});
      gram = mean.front().div(plan_->options.ranks.count);  // see HostTasks
    }
    return gram;
  }
  bool adds_grams(const StepEvidence& shown) const { return plan_->options.ranks.average && shown.of_own_samples; }

 private:
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

  std::shared_ptr<const Plan> plan_;
  at::Device device_;
  RecordLayout layout_;
  Outcome last_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
