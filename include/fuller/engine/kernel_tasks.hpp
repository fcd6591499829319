// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/engine/copies.hpp>
#include <fuller/engine/device_calibrator.hpp>
#include <fuller/engine/device_tasks.hpp>
#include <fuller/engine/failures.hpp>
#include <fuller/engine/kernels.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The tasks' level by DeviceCalibrator and the kernels beside it.
class KernelTasks final : public DeviceTasks {
 public:
  KernelTasks(KernelSource kernels, const std::shared_ptr<const Plan>& plan, DeviceCalibrator calibrator)
      : DeviceTasks(plan, calibrator.gram().device()), kernels_(std::move(kernels)), calibrator_(std::move(calibrator)) {
    const auto doubles = calibrator_.gram().options();
    const auto tasks = static_cast<std::int64_t>(plan->tasks.size());
    scale_ = at::ones({1}, doubles);
    losses_ = at::zeros({tasks}, doubles);
    of_heads_ = at::ones({tasks}, doubles);
    failed_step_ = at::full({1}, -1, doubles.dtype(at::kLong));
    failed_conditions_ = at::zeros({tasks}, doubles.dtype(at::kByte));
  }

  at::Tensor combined(at::TensorList cotangents, const Outcome& /*outcome*/, std::size_t /*place*/) override {
    const c10::DeviceGuard guard(*device());
    return weighted_sum(kernels_(), cotangents, calibrator_.shared_weights());
  }

  at::Tensor for_head(std::size_t task, const at::Tensor& gradient, const Outcome& outcome) override {
    const c10::DeviceGuard guard(*device());
    expect_here(gradient, "a head's gradient is on ");
    const at::Tensor& weights = outcome.device_heads;
    const double* const weight = weights.data_ptr<double>() + task;
    cuda::Element element{};
    if (!element_of(gradient.scalar_type(), element)) {
      const at::Tensor factor = weights[static_cast<std::int64_t>(task)];
      return at::where(factor.eq(0), at::zeros_like(gradient), gradient.mul(factor));
    }
    if (gradient.is_sparse()) {
      const at::Tensor own = gradient.clone();
      scale_in_place(kernels_(), own._values(), weight);
      return own;
    }
    // Two parameters' gradients can be views of one storage; scaling one in place would then scale the other.
    const bool alone = gradient.layout() == at::kStrided && gradient.storage().use_count() == 1;
    if (!alone || !gradient.is_non_overlapping_and_dense() || gradient.is_neg()) {
      return scaled(kernels_(), gradient, weight);
    }
    scale_in_place(kernels_(), gradient, weight);
    gradient.unsafeGetTensorImpl()->bump_version();
    return gradient;
  }

  void expect_finite() override {
    if (!throws(plan().options.non_finite)) {
      return;
    }
    const c10::NoGradGuard no_grad;
    std::int64_t failed = -1;
    copy_to_host(failed_step_, &failed, 1);
    if (failed < 0) {
      return;
    }
    std::vector<Condition> conditions(plan().tasks.size());
    copy_to_host(failed_conditions_, conditions.data(), conditions.size());
    failed_step_.fill_(-1);
    expect_no_failure(failed, plan().tasks, conditions);
  }

 protected:
  void set_epoch(std::int64_t epoch) override { calibrator_.set_epoch(epoch); }

  void ask(const StepEvidence& shown, Outcome& outcome) override {
    const c10::NoGradGuard no_grad;
    const c10::DeviceGuard guard(*device());
    const DeviceKernels kernels = kernels_();
    scale_.copy_(shown.scale.reshape({1}));
    if (plan().rule.needs().losses && !outcome.held) {
      gather(shown, losses_);
    }
    std::uint64_t present = 0;
    for (std::size_t i = 0; i < outcome.present.size(); ++i) {
      present |= static_cast<std::uint64_t>(outcome.present[i] != 0 ? 1 : 0) << i;
    }
    if (outcome.measured && (shown.gram.defined() || adds_grams(shown))) {
      calibrator_.weigh_by_gram(kernels, gram_of(shown), present, losses_, scale_, outcome.held);
    } else if (outcome.measured) {
      calibrator_.weigh(kernels, shown.gradients, losses_, scale_, present, outcome.held);
    } else if (outcome.held) {
      calibrator_.hold(kernels, present, scale_);
    } else {
      calibrator_.weigh_unmeasured(kernels, present, losses_, scale_);
    }
    plan().head_policy().weigh(calibrator_.head_weights(), calibrator_.conditions(), of_heads_);
    if (throws(plan().options.non_finite)) {
      remember_failure();
    }
    outcome.device_heads = of_heads_.clone();
    remember(outcome);
  }

  at::Tensor numbers() const override {
    const c10::NoGradGuard no_grad;
    const DeviceCalibrator& all = calibrator_;
    return at::cat({all.state().narrow(0, 0, all.state().numel() - 1), all.shared_weights(), all.head_weights(),
                    all.conditions().to(at::kDouble), all.gram().reshape({-1}), all.counters().to(at::kDouble), scale_});
  }

  void take(const Record& record) override {
    const c10::NoGradGuard no_grad;
    const Verdict& verdict = record.last.verdict;
    const std::size_t tasks = plan().tasks.size();
    copy_from_host(record.memory.rule.data(), record.memory.rule.size(), calibrator_.state());
    copy_from_host(verdict.shared.data(), tasks, calibrator_.shared_weights());
    copy_from_host(verdict.heads.data(), tasks, calibrator_.head_weights());
    copy_from_host(verdict.conditions.data(), tasks, calibrator_.conditions());
    copy_from_host(record.last.gram.data(), record.last.gram.size(), calibrator_.gram());
    const std::int64_t counters[2] = {record.memory.steps, record.memory.epochs};
    copy_from_host(counters, 2, calibrator_.counters());
    scale_.fill_(record.last.loss_scale);
    failed_step_.fill_(-1);
    remember(record.last);
  }

 private:
  /// Keeps the conditions of the first step that has a failure, until they are asked for.
  void remember_failure() {
    const at::Tensor& conditions = calibrator_.conditions();
    const at::Tensor is_first = conditions.ge(static_cast<int>(Condition::zero)).any().logical_and(failed_step_.lt(0));
    failed_conditions_.copy_(at::where(is_first, conditions, failed_conditions_));
    failed_step_.copy_(at::where(is_first, calibrator_.counters().narrow(0, 0, 1).sub(1), failed_step_));
  }

  KernelSource kernels_;
  DeviceCalibrator calibrator_;
  at::Tensor scale_;     // the last step's loss scale, of either sign
  at::Tensor losses_;    // [T] doubles
  at::Tensor of_heads_;  // [T] doubles: what heads are weighted with
  at::Tensor failed_step_;
  at::Tensor failed_conditions_;
};

/// A calibrator of the rule, if the kernels know it.
template <class... Rules>
std::optional<DeviceCalibrator> calibrator_of(const TaskRule& rule, int tasks, at::Device device,
                                              cuda::RuleList<Rules...> /*known*/) {
  std::optional<DeviceCalibrator> made;
  const auto make = [&](const auto* weighting) {
    if (weighting != nullptr) {
      made.emplace(*weighting, tasks, device);
    }
  };
  (make(rule.as<Rules>()), ...);
  return made;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
