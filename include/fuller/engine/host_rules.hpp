// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

#include <ATen/core/Tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
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

#include <fuller/backward/measure_tasks.hpp>
#include <fuller/backward/step.hpp>
#include <fuller/core/error.hpp>
#include <fuller/engine/engine.hpp>
#include <fuller/engine/host_function.hpp>
#include <fuller/engine/packed.hpp>
#include <fuller/tensor/reductions.hpp>

// Steps on a device without kernels of ours: ATen forms the evidence there, the rule runs on the host in the order of the stream.

namespace fuller {
namespace detail {

/// `tensor` times a number on the device, a tensor of its own: by selection, 0 gives zeros, NaN or not, and 1 the same bits. Half
/// types are multiplied as float.
inline at::Tensor scaled_by_aten(const at::Tensor& tensor, const at::Tensor& factor) {
  if (tensor.is_sparse()) {
    at::Tensor own = tensor.clone();
    own._values().copy_(scaled_by_aten(own._values(), factor));
    return own;
  }
  const at::ScalarType type = tensor.scalar_type();
  const bool is_half = type == at::kHalf || type == at::kBFloat16;
  const at::Tensor product = (tensor.to(is_half ? at::kFloat : type) * factor).to(type);
  return at::where(factor.eq(0), at::zeros({}, tensor.options()), product);
}

/// What the host knows of a step when it puts the rule into the stream.
struct TaskQuestion {
  std::vector<std::uint8_t> present;
  bool measured = false;
  bool operator==(const TaskQuestion& other) const { return measured == other.measured && present == other.present; }
};

/// Where a step's numbers stand: those that unpack_tasks() reads, then those that only the step itself needs.
struct TaskPlaces {
  TaskPlaces(std::int64_t tasks, std::int64_t state)
      : shared(state),
        heads(shared + tasks),
        conditions(heads + tasks),
        gram(conditions + tasks),
        step(gram + tasks * tasks),
        epoch(step + 1),
        scale(epoch + 1),
        losses(scale + 1),
        of_heads(losses + tasks),
        failed_step(of_heads + tasks),
        failed_conditions(failed_step + 1),
        end(failed_conditions + tasks) {}

  std::int64_t shared, heads, conditions, gram, step, epoch, scale;
  std::int64_t losses;             ///< T
  std::int64_t of_heads;           ///< T: what heads are weighted with
  std::int64_t failed_step;        ///< the first step that NonFinite::throw_error would have ended; -1: none
  std::int64_t failed_conditions;  ///< T: and its conditions
  std::int64_t end;
};

/// A calibration's rule on numbers of the host, outside of the calibration: what the driver calls.
class HostRule {
 public:
  HostRule(const State& state, const TaskPlaces& places)
      : rule_(state.rule),
        verdict_(state.tasks.size()),
        at_(places),
        apply_to_(state.apply_to),
        non_finite_(state.options.non_finite) {}

  /// Answers in place. Where the rule throws, so does this: all weights are then 0, and nothing else has changed.
  void operator()(const TaskQuestion& question, double* numbers) {
    const std::size_t T = question.present.size();
    std::copy_n(numbers, rule_.state.size(), rule_.state.begin());
    Evidence<> evidence;
    evidence.count = static_cast<int>(T);
    evidence.gram = question.measured ? numbers + at_.gram : nullptr;
    evidence.losses = rule_.needs.losses ? numbers + at_.losses : nullptr;
    evidence.present = question.present.data();
    evidence.step = static_cast<std::int64_t>(numbers[at_.step]);
    evidence.epoch = static_cast<std::int64_t>(numbers[at_.epoch]);
    evidence.loss_scale = std::abs(numbers[at_.scale]);
    try {
      rule_(evidence, verdict_);
    } catch (...) {
      for (const std::int64_t place : {at_.shared, at_.heads, at_.of_heads}) {
        std::fill_n(numbers + place, T, 0.0);
      }
      throw;
    }
    const Verdict& verdict = verdict_;
    std::copy(rule_.state.begin(), rule_.state.end(), numbers);
    std::copy(verdict.shared.begin(), verdict.shared.end(), numbers + at_.shared);
    std::copy(verdict.heads.begin(), verdict.heads.end(), numbers + at_.heads);
    bool failed = false;
    for (std::size_t i = 0; i < T; ++i) {
      const Condition condition = verdict.conditions[i];
      numbers[at_.conditions + static_cast<std::int64_t>(i)] = static_cast<double>(condition);
      numbers[at_.of_heads + static_cast<std::int64_t>(i)] = of_head(verdict, i);
      failed = failed || is_failure(condition);
    }
    if (failed && non_finite_ == NonFinite::throw_error && numbers[at_.failed_step] < 0) {
      numbers[at_.failed_step] = numbers[at_.step];
      std::copy_n(numbers + at_.conditions, T, numbers + at_.failed_conditions);
    }
    numbers[at_.step] += 1;
  }

 private:
  double of_head(const Verdict& verdict, std::size_t i) const {
    if (apply_to_ == ApplyTo::all) {
      return verdict.heads[i];
    }
    return non_finite_ != NonFinite::propagate && verdict.conditions[i] == Condition::non_finite ? 0.0 : 1.0;
  }

  TaskRule rule_;
  Verdict verdict_;
  TaskPlaces at_;
  ApplyTo apply_to_;
  NonFinite non_finite_;
};

/// The tasks' level: one round trip of a few numbers a step.
class HostRuleTasks final : public TasksOnDevice {
 public:
  HostRuleTasks(HostLauncher launcher, const State& state, at::Device device)
      : tasks_(static_cast<std::int64_t>(state.tasks.size())),
        rule_name_(state.rule.name),
        at_(tasks_, static_cast<std::int64_t>(state.rule.state.size())),
        trip_(std::move(launcher), at::zeros({at_.end}, at::TensorOptions().device(device).dtype(at::kDouble)),
              HostRule(state, at_)) {
    numbers(at_.of_heads, tasks_).fill_(1);
  }

  at::Device device() const override { return trip_.numbers().device(); }

  at::Tensor weigh(const State& state, const Step& step, const std::vector<std::vector<at::Tensor>>& gradients) override {
    const c10::NoGradGuard no_grad;
    const c10::DeviceGuard guard(device());
    numbers(at_.scale, 1).copy_(step.device_scale.reshape({1}));
    if (state.rule.needs.losses) {
      gather_losses(step.losses, numbers(at_.losses, tasks_));
    }
    if (step.outcome.measured) {
      measure(gradients);
    }
    trip_.go({step.outcome.present, step.outcome.measured});
    return numbers(at_.of_heads, tasks_).clone();
  }

  at::Tensor combined(at::TensorList cotangents) override {
    const c10::NoGradGuard no_grad;
    at::Tensor sum;
    at::ScalarType type{};
    for (std::size_t i = 0; i < cotangents.size(); ++i) {
      if (!cotangents[i].defined()) {
        continue;
      }
      type = cotangents[i].scalar_type();
      const bool is_half = type == at::kHalf || type == at::kBFloat16;
      const at::Tensor part = scaled_by_aten(cotangents[i].to(is_half ? at::kFloat : type), weight(at_.shared, i));
      sum = sum.defined() ? sum.add_(part) : part;
    }
    return sum.defined() ? sum.to(type) : sum;
  }

  at::Tensor weighted_head(const at::Tensor& weights, std::size_t task, const at::Tensor& gradient) override {
    if (gradient.device() != device()) {
      fail("a head's gradient is on ", gradient.device(), ", the calibration's steps run on ", device(),
           "; move the head there, or call use() with its device");
    }
    return scaled_by_aten(gradient, weights[static_cast<std::int64_t>(task)]);
  }

  void set_epoch(std::int64_t epoch) override { numbers(at_.epoch, 1).fill_(epoch); }

  at::Tensor packed() const override { return trip_.numbers(); }
  void unpack(const at::Tensor& numbers, State& state) const override { unpack_tasks(numbers.data_ptr<double>(), state); }

  void write(const State& state) override {
    const c10::NoGradGuard no_grad;
    const Verdict& verdict = state.last.verdict;
    std::vector<double> all;
    for (const std::vector<double>* list : {&state.rule.state, &verdict.shared, &verdict.heads}) {
      all.insert(all.end(), list->begin(), list->end());
    }
    for (const Condition condition : verdict.conditions) {
      all.push_back(static_cast<double>(condition));
    }
    all.insert(all.end(), state.last.gram.begin(), state.last.gram.end());
    all.insert(all.end(), {static_cast<double>(state.step), static_cast<double>(state.epoch), state.last.loss_scale});
    copy_from_host(all.data(), all.size(), trip_.numbers());
    numbers(at_.failed_step, 1).fill_(-1);
  }

  void expect_finite(const State& state) override {
    if (state.options.non_finite != NonFinite::throw_error) {
      return;
    }
    const c10::NoGradGuard no_grad;
    std::vector<double> failed(1 + state.tasks.size());
    copy_to_host(numbers(at_.failed_step, 1 + tasks_), failed.data(), failed.size());
    numbers(at_.failed_step, 1).fill_(-1);
    std::vector<Condition> conditions;
    for (std::size_t i = 1; i < failed.size(); ++i) {
      conditions.push_back(static_cast<Condition>(failed[i]));
    }
    expect_no_failure(state, static_cast<std::int64_t>(failed[0]), conditions);
  }

  void expect_no_exception() override {
    const std::exception_ptr thrown = trip_.take_exception();
    if (!thrown) {
      return;
    }
    std::string said = "an exception that is no std::exception";
    try {
      std::rethrow_exception(thrown);
    } catch (const std::exception& error) {
      said = error.what();
    } catch (...) {
    }
    fail("in an earlier step the rule '", rule_name_, "' threw on the host: ", said,
         "; that step had weights of 0, and changed no state of the rule");
  }

 private:
  at::Tensor numbers(std::int64_t from, std::int64_t count) const { return trip_.numbers().narrow(0, from, count); }
  at::Tensor weight(std::int64_t of, std::size_t task) const { return trip_.numbers()[of + static_cast<std::int64_t>(task)]; }

  /// The Gram matrix of the task gradients, in double, on the device.
  void measure(const std::vector<std::vector<at::Tensor>>& gradients) {
    check_gradients(gradients);
    const at::Tensor gram = numbers(at_.gram, tasks_ * tasks_).view({tasks_, tasks_}).zero_();
    std::size_t length = 0;
    for (const auto& list : gradients) {
      length = std::max(length, list.size());
    }
    for (std::size_t k = 0; k < length; ++k) {
      const auto given = [&](std::size_t i) { return gradients[i].empty() ? at::Tensor() : gradients[i][k]; };
      at::Tensor first;
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        first = first.defined() ? first : given(i);
      }
      if (!first.defined()) {
        continue;
      }
      std::vector<at::Tensor> rows;
      for (std::size_t i = 0; i < gradients.size(); ++i) {
        rows.push_back(given(i).defined() ? given(i) : at::zeros_like(first));
      }
      gram.add_(gram_by_aten(rows));
    }
  }

  std::int64_t tasks_;
  std::string rule_name_;
  TaskPlaces at_;
  HostRoundTrip<TaskQuestion> trip_;
};

/// What the host knows of the branches of a step.
struct GateQuestion {
  std::vector<std::uint8_t> present;
  std::vector<double> sizes;
  bool operator==(const GateQuestion& other) const { return present == other.present && sizes == other.sizes; }
};

/// The modalities' level, likewise: state, scales and squared norms, M doubles each.
class HostRuleGates final : public GatesOnDevice {
 public:
  HostRuleGates(HostLauncher launcher, const ModalityGate& gate, int branches, at::Device device)
      : branches_(branches),
        trip_(std::move(launcher), at::zeros({3 * branches_}, at::TensorOptions().device(device).dtype(at::kDouble)),
              [gate, branches](const GateQuestion& question, double* numbers) { run(gate, branches, question, numbers); }) {
    std::vector<double> initial(static_cast<std::size_t>(3 * branches), 1.0);
    gate.initialise(branches, initial.data());
    copy_from_host(initial.data(), initial.size(), trip_.numbers());
    scales_ = trip_.numbers().narrow(0, branches_, branches_);
  }

  at::Device device() const override { return trip_.numbers().device(); }
  at::Tensor no_norms() const override { return at::zeros_like(scales_); }
  void take_norms(const at::Tensor& gradient, at::IntArrayRef widths, const at::Tensor& norms, std::int64_t first) override {
    norms.narrow(0, first, static_cast<std::int64_t>(widths.size())).copy_(slice_norms_by_aten(gradient, widths, /*dim=*/1));
  }
  void open(const at::Tensor& norms, const std::vector<double>& sizes, const std::vector<std::uint8_t>& present) override {
    const c10::DeviceGuard guard(device());
    trip_.numbers().narrow(0, 2 * branches_, branches_).copy_(norms);
    trip_.go({present, sizes});
  }
  at::Tensor gated(std::size_t m, const at::Tensor& cotangent) override {
    return scaled_by_aten(cotangent, scales_[static_cast<std::int64_t>(m)]);
  }
  const at::Tensor& scales() const override { return scales_; }
  at::Tensor packed() const override { return trip_.numbers(); }
  void write(const std::vector<double>& state, const std::vector<double>& scales,
             const std::vector<double>& squared_norms) override {
    std::vector<double> all;
    for (const std::vector<double>* list : {&state, &scales, &squared_norms}) {
      all.insert(all.end(), list->begin(), list->end());
    }
    copy_from_host(all.data(), all.size(), trip_.numbers());
  }

 private:
  static void run(const ModalityGate& gate, int branches, const GateQuestion& question, double* numbers) {
    std::vector<double> scratch(static_cast<std::size_t>(gate.scratch_size(branches)));
    BranchEvidence<> evidence;
    evidence.count = branches;
    evidence.squared_norms = numbers + 2 * branches;
    evidence.sizes = question.sizes.data();
    evidence.present = question.present.data();
    gate(Serial{}, evidence, numbers, numbers + branches, scratch.data());
  }

  std::int64_t branches_;
  HostRoundTrip<GateQuestion> trip_;
  at::Tensor scales_;
};

class HostRuleSteps final : public StepsOnDevice {
 public:
  HostRuleSteps(HostLauncher launcher, at::Device device) : launcher_(std::move(launcher)), device_(device) {}

  std::shared_ptr<TasksOnDevice> tasks(const State& state) const override {
    return std::make_shared<HostRuleTasks>(launcher_, state, device_);
  }
  std::shared_ptr<GatesOnDevice> gates(const ModalityGate& gate, int branches) const override {
    return std::make_shared<HostRuleGates>(launcher_, gate, branches, device_);
  }

 private:
  HostLauncher launcher_;
  at::Device device_;
};

}  // namespace detail

/// For Calibration::use(), with any rule, one's own too, and no compiled kernels: ATen forms the evidence on `device`, and the
/// rule runs in a thread of the host when the stream comes to it, by this launcher. Its numbers travel through pinned memory,
/// there and back, and no step waits; it can be captured in a CUDA graph, whose replays call the rule.
///
/// The rule must not call LibTorch or CUDA. An exception that it throws is kept, as Error and in words, for the next fork(),
/// sum(), diagnostics(), steps(), save(), load() or use(); the step that it was thrown in has weights of 0. What is captured is
/// to be captured anew after another use() or modalities(), and replayed no longer than the calibration lives; of steps that are
/// not, it may be destroyed while they run.
inline std::shared_ptr<const StepsOnDevice> host_rules_on(at::Device device, HostLauncher launcher) {
  return std::make_shared<detail::HostRuleSteps>(std::move(launcher), device);
}

/// The same by NVIDIA's driver: `calibration.use(fuller::host_rules_on(at::kCUDA))`.
/// @throws Error where there is no driver.
inline std::shared_ptr<const StepsOnDevice> host_rules_on(at::Device device) {
  return host_rules_on(device, cuda_host_launcher());
}

}  // namespace fuller

#endif  // FULLER_STANDARD
