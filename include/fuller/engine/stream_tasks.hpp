// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/engine/copies.hpp>
#include <fuller/engine/device_tasks.hpp>
#include <fuller/engine/failures.hpp>
#include <fuller/engine/host_function.hpp>
#include <fuller/engine/scaled_by_aten.hpp>
#include <fuller/tensor/sign_drop.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What the host knows of a step when it puts the rule into the stream.
struct TaskQuestion {
  std::vector<std::uint8_t> present;
  bool measured = false;
  bool held = false;
  bool operator==(const TaskQuestion& other) const {
    return measured == other.measured && held == other.held && present == other.present;
  }
};

/// Where a step's numbers stand: those of the record, then those that only the step itself needs.
struct StreamPlaces {
  explicit StreamPlaces(const RecordLayout& layout)
      : record(layout),
        losses(layout.end),
        of_heads(losses + layout.T),
        failed_step(of_heads + layout.T),
        failed_conditions(failed_step + 1),
        end(failed_conditions + layout.T) {}

  RecordLayout record;
  std::int64_t losses;             ///< T
  std::int64_t of_heads;           ///< T: what heads are weighted with
  std::int64_t failed_step;        ///< the first step that NonFinite::throw_error would have ended; -1: none
  std::int64_t failed_conditions;  ///< T: and its conditions
  std::int64_t end;
};

/// A calibration's rule on numbers of the host, outside of the calibration: what the driver calls.
class StreamRule {
 public:
  StreamRule(std::shared_ptr<const Plan> plan, const StreamPlaces& places)
      : plan_(std::move(plan)),
        at_(places),
        verdict_(plan_->tasks.size()),
        state_(plan_->rule.state_size()),
        scratch_(plan_->rule.scratch_size()) {}

  /// Answers in place. Where the rule throws, so does this: all weights are then 0, and nothing else has changed.
  void operator()(const TaskQuestion& question, double* numbers) {
    const RecordLayout& of = at_.record;
    const std::size_t T = question.present.size();
    std::copy_n(numbers + of.state, state_.size(), state_.begin());
    const bool reads_losses = plan_->rule.needs().losses && !question.held;
    Evidence<> evidence;
    evidence.count = static_cast<int>(T);
    evidence.gram = question.measured ? numbers + of.gram : nullptr;
    evidence.losses = reads_losses ? numbers + at_.losses : nullptr;
    evidence.present = question.present.data();
    evidence.step = static_cast<std::int64_t>(numbers[of.steps]);
    evidence.epoch = static_cast<std::int64_t>(numbers[of.epochs]);
    evidence.loss_scale = std::abs(numbers[of.scale]);
    evidence.held = question.held;
    try {
      plan_->rule(evidence, state_.data(), verdict_, scratch_.data());
    } catch (...) {
      for (const std::int64_t place : {of.shared, of.heads, at_.of_heads}) {
        std::fill_n(numbers + place, T, 0.0);
      }
      throw;
    }
    std::copy(state_.begin(), state_.end(), numbers + of.state);
    std::copy(verdict_.shared.begin(), verdict_.shared.end(), numbers + of.shared);
    std::copy(verdict_.heads.begin(), verdict_.heads.end(), numbers + of.heads);
    const HeadPolicy policy = plan_->head_policy();
    bool failed = false;
    for (std::size_t i = 0; i < T; ++i) {
      const Condition condition = verdict_.conditions[i];
      const auto place = static_cast<std::int64_t>(i);
      numbers[of.conditions + place] = static_cast<double>(condition);
      numbers[at_.of_heads + place] = policy.weight(verdict_, i);
      failed = failed || is_failure(condition);
    }
    if (failed && throws(plan_->options.non_finite) && numbers[at_.failed_step] < 0) {
      numbers[at_.failed_step] = numbers[of.steps];
      std::copy_n(numbers + of.conditions, T, numbers + at_.failed_conditions);
    }
    numbers[of.steps] += 1;
  }

 private:
  std::shared_ptr<const Plan> plan_;
  StreamPlaces at_;
  Verdict verdict_;
  std::vector<double> state_;
  std::vector<double> scratch_;
};

/// The tasks' level on the host in the order of a device's stream: one round trip of a few numbers a step.
class StreamTasks final : public DeviceTasks {
 public:
  StreamTasks(HostLauncher launcher, const std::shared_ptr<const Plan>& plan, at::Device device)
      : DeviceTasks(plan, device),
        tasks_(static_cast<std::int64_t>(plan->tasks.size())),
        at_(layout()),
        trip_(std::move(launcher), at::zeros({at_.end}, at::TensorOptions().device(device).dtype(at::kDouble)),
              StreamRule(plan, at_)) {
    numbers(at_.of_heads, tasks_).fill_(1);
  }

  at::Tensor combined(at::TensorList cotangents, const Outcome& /*outcome*/, std::size_t place) override {
    const c10::NoGradGuard no_grad;
    if (const SignDrop* const rule = plan().rule.sign_drop()) {
      return dropped(cotangents, *rule, plan().sequence_of(place));
    }
    at::Tensor sum;
    at::ScalarType type{};
    for (std::size_t i = 0; i < cotangents.size(); ++i) {
      if (!cotangents[i].defined()) {
        continue;
      }
      type = cotangents[i].scalar_type();
      const bool is_half = type == at::kHalf || type == at::kBFloat16;
      const at::Tensor part = scaled_by_aten(cotangents[i].to(is_half ? at::kFloat : type), weight(i));
      sum = sum.defined() ? sum.add_(part) : part;
    }
    return sum.defined() ? sum.to(type) : sum;
  }

  at::Tensor for_head(std::size_t task, const at::Tensor& gradient, const Outcome& outcome) override {
    expect_here(gradient, "a head's gradient is on ");
    return scaled_by_aten(gradient, outcome.device_heads[static_cast<std::int64_t>(task)]);
  }

  void expect_finite() override {
    if (!throws(plan().options.non_finite)) {
      return;
    }
    const c10::NoGradGuard no_grad;
    std::vector<double> failed(1 + plan().tasks.size());
    copy_to_host(numbers(at_.failed_step, 1 + tasks_), failed.data(), failed.size());
    numbers(at_.failed_step, 1).fill_(-1);
    std::vector<Condition> conditions;
    for (std::size_t i = 1; i < failed.size(); ++i) {
      conditions.push_back(static_cast<Condition>(static_cast<int>(failed[i])));
    }
    expect_no_failure(static_cast<std::int64_t>(failed[0]), plan().tasks, conditions);
  }

  void expect_no_exception() override {
    if (const std::exception_ptr thrown = trip_.take_exception()) {
      fail("in an earlier step the rule '", plan().rule.name(), "' threw on the host: ", words_of(thrown),
           "; that step had weights of 0, and changed no state of the rule");
    }
  }

 protected:
  void set_epoch(std::int64_t epoch) override { numbers(at_.record.epochs, 1).fill_(epoch); }

  void ask(const StepEvidence& shown, Outcome& outcome) override {
    const c10::NoGradGuard no_grad;
    const c10::DeviceGuard guard(*device());
    numbers(at_.record.scale, 1).copy_(shown.scale.reshape({1}));
    if (plan().rule.needs().losses && !outcome.held) {
      gather(shown, numbers(at_.losses, tasks_));
    }
    if (outcome.measured) {
      numbers(at_.record.gram, tasks_ * tasks_).view({tasks_, tasks_}).copy_(gram_of(shown));
    }
    trip_.go({outcome.present, outcome.measured, outcome.held});
    outcome.device_heads = numbers(at_.of_heads, tasks_).clone();
    remember(outcome);
  }

  at::Tensor numbers() const override { return trip_.numbers(); }

  void take(const Record& record) override {
    const c10::NoGradGuard no_grad;
    const std::vector<double> all = at_.record.encode(record);
    copy_from_host(all.data(), all.size(), trip_.numbers());
    numbers(at_.failed_step, 1).fill_(-1);
    remember(record.last);
  }

 private:
  at::Tensor numbers(std::int64_t from, std::int64_t count) const { return trip_.numbers().narrow(0, from, count); }
  /// The steps are read on the device, where replays of a captured step count.
  at::Tensor dropped(at::TensorList cotangents, const SignDrop& rule, std::uint32_t sequence) const {
    const ToDropFrom from(cotangents, nullptr);
    if (from.tensors.empty()) {
      return {};
    }
    const at::Tensor step = numbers(at_.record.steps, 1).sub(1);  // the rule was asked
    return sign_dropped_by_aten(from, rule, step, sequence,
                                [&](std::size_t task, const at::Tensor& tensor) { return scaled_by_aten(tensor, weight(task)); });
  }
  at::Tensor weight(std::size_t task) const { return trip_.numbers()[at_.record.shared + static_cast<std::int64_t>(task)]; }

  std::int64_t tasks_;
  StreamPlaces at_;
  HostRoundTrip<TaskQuestion> trip_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
