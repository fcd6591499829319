// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

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
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fuller/backward/measure_tasks.hpp>
#include <fuller/backward/step.hpp>
#include <fuller/core/error.hpp>
#include <fuller/engine/device_calibrator.hpp>
#include <fuller/engine/device_gate.hpp>
#include <fuller/engine/engine.hpp>
#include <fuller/engine/kernels.hpp>
#include <fuller/engine/packed.hpp>

namespace fuller {

/// The kernels to launch next, and the stream to put them into: asked for at each launch, since an ordinary backward runs in the
/// stream of its forward, whichever that was.
using KernelSource = std::function<DeviceKernels()>;

namespace detail {

/// The tasks' level by DeviceCalibrator and the kernels beside it.
class KernelTasks final : public TasksOnDevice {
 public:
  KernelTasks(KernelSource kernels, DeviceCalibrator calibrator, const State& state)
      : kernels_(std::move(kernels)), calibrator_(std::move(calibrator)) {
    const auto doubles = calibrator_.gram().options();
    const auto tasks = static_cast<std::int64_t>(state.tasks.size());
    scale_ = at::ones({1}, doubles);
    losses_ = at::zeros({tasks}, doubles);
    of_heads_ = at::ones({tasks}, doubles);
    failed_step_ = at::full({1}, -1, doubles.dtype(at::kLong));
    failed_conditions_ = at::zeros({tasks}, doubles.dtype(at::kByte));
  }

  at::Device device() const override { return calibrator_.gram().device(); }

  at::Tensor weigh(const State& state, const Step& step, const std::vector<std::vector<at::Tensor>>& gradients) override {
    const Outcome& outcome = step.outcome;
    const c10::NoGradGuard no_grad;
    const c10::DeviceGuard guard(device());
    const DeviceKernels kernels = kernels_();
    scale_.copy_(step.device_scale.reshape({1}));
    if (state.rule.needs.losses) {
      gather_losses(step.losses, losses_);
    }
    std::uint64_t present = 0;
    for (std::size_t i = 0; i < outcome.present.size(); ++i) {
      present |= static_cast<std::uint64_t>(outcome.present[i] != 0 ? 1 : 0) << i;
    }
    if (outcome.measured) {
      calibrator_.weigh(kernels, gradients, losses_, scale_, present);
    } else {
      calibrator_.weigh_unmeasured(kernels, present, losses_, scale_);
    }
    if (state.apply_to == ApplyTo::all) {
      of_heads_ = calibrator_.head_weights();
    } else if (state.options.non_finite != NonFinite::propagate) {
      of_heads_.copy_(calibrator_.conditions().ne(static_cast<int>(Condition::non_finite)));
    }
    if (state.options.non_finite == NonFinite::throw_error) {
      remember_failure();
    }
    return of_heads_.clone();
  }

  at::Tensor combined(at::TensorList cotangents) override {
    const c10::DeviceGuard guard(device());
    return weighted_sum(kernels_(), cotangents, calibrator_.shared_weights());
  }

  at::Tensor weighted_head(const at::Tensor& weights, std::size_t task, const at::Tensor& gradient) override {
    const c10::DeviceGuard guard(device());
    if (gradient.device() != device()) {
      fail("a head's gradient is on ", gradient.device(), ", the calibration's steps run on ", device(),
           "; move the head there, or call use() with its device");
    }
    const double* const weight = weights.data_ptr<double>() + task;
    cuda::Element element{};
    if (!element_of(gradient.scalar_type(), element)) {
      const at::Tensor factor = weights[static_cast<std::int64_t>(task)];
      return at::where(factor.eq(0), at::zeros_like(gradient), gradient * factor);
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

  void set_epoch(std::int64_t epoch) override { calibrator_.set_epoch(epoch); }

  at::Tensor packed() const override {
    const c10::NoGradGuard no_grad;
    const DeviceCalibrator& all = calibrator_;
    return at::cat({all.state().narrow(0, 0, all.state().numel() - 1), all.shared_weights(), all.head_weights(),
                    all.conditions().to(at::kDouble), all.gram().reshape({-1}), all.counters().to(at::kDouble), scale_});
  }

  void unpack(const at::Tensor& numbers, State& state) const override { unpack_tasks(numbers.data_ptr<double>(), state); }

  void write(const State& state) override {
    const c10::NoGradGuard no_grad;
    const std::size_t tasks = state.tasks.size();
    copy_from_host(state.rule.state.data(), state.rule.state.size(), calibrator_.state());
    copy_from_host(state.last.verdict.shared.data(), tasks, calibrator_.shared_weights());
    copy_from_host(state.last.verdict.heads.data(), tasks, calibrator_.head_weights());
    copy_from_host(state.last.verdict.conditions.data(), tasks, calibrator_.conditions());
    copy_from_host(state.last.gram.data(), state.last.gram.size(), calibrator_.gram());
    const std::int64_t counters[2] = {state.step, state.epoch};
    copy_from_host(counters, 2, calibrator_.counters());
    scale_.fill_(state.last.loss_scale);
    failed_step_.fill_(-1);
  }

  void expect_finite(const State& state) override {
    if (state.options.non_finite != NonFinite::throw_error) {
      return;
    }
    const c10::NoGradGuard no_grad;
    std::int64_t failed = -1;
    copy_to_host(failed_step_, &failed, 1);
    if (failed < 0) {
      return;
    }
    std::vector<Condition> conditions(state.tasks.size());
    copy_to_host(failed_conditions_, conditions.data(), conditions.size());
    failed_step_.fill_(-1);
    expect_no_failure(state, failed, conditions);
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

/// The modalities' level by DeviceGate.
class KernelGates final : public GatesOnDevice {
 public:
  KernelGates(KernelSource kernels, DeviceGate gate) : kernels_(std::move(kernels)), gate_(std::move(gate)) {}

  at::Device device() const override { return gate_.scales().device(); }
  at::Tensor no_norms() const override { return at::zeros_like(gate_.squared_norms()); }
  void take_norms(const at::Tensor& gradient, at::IntArrayRef widths, const at::Tensor& norms, std::int64_t first) override {
    const c10::DeviceGuard guard(device());
    gate_.measure(kernels_(), gradient, widths, norms, first);
  }
  void open(const at::Tensor& norms, const std::vector<double>& sizes, const std::vector<std::uint8_t>& present) override {
    const c10::DeviceGuard guard(device());
    gate_.open(kernels_(), norms, sizes, present);
  }
  at::Tensor gated(std::size_t m, const at::Tensor& cotangent) override {
    const c10::DeviceGuard guard(device());
    return scaled(kernels_(), cotangent, gate_.scales().data_ptr<double>() + m);
  }
  const at::Tensor& scales() const override { return gate_.scales(); }
  at::Tensor packed() const override { return at::cat({gate_.state(), gate_.scales(), gate_.squared_norms()}); }
  void write(const std::vector<double>& state, const std::vector<double>& scales,
             const std::vector<double>& squared_norms) override {
    copy_from_host(state.data(), state.size(), gate_.state());
    copy_from_host(scales.data(), scales.size(), gate_.scales());
    copy_from_host(squared_norms.data(), squared_norms.size(), gate_.squared_norms());
  }

 private:
  KernelSource kernels_;
  DeviceGate gate_;
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

class KernelSteps final : public StepsOnDevice {
 public:
  KernelSteps(KernelSource kernels, at::Device device) : kernels_(std::move(kernels)), device_(device) {}

  std::shared_ptr<TasksOnDevice> tasks(const State& state) const override {
    if (state.tasks.size() > static_cast<std::size_t>(cuda::max_tasks)) {
      fail("the kernels take ", cuda::max_tasks, " tasks, this calibration has ", state.tasks.size());
    }
    auto calibrator = calibrator_of(state.rule, static_cast<int>(state.tasks.size()), device_, cuda::KnownRules());
    if (!calibrator) {
      fail("the kernels do not know the rule '", state.rule.name,
           "': a rule of one's own runs on the host; use(host_rules_on(device)) has it run there without a wait");
    }
    return std::make_shared<KernelTasks>(kernels_, std::move(*calibrator), state);
  }
  std::shared_ptr<GatesOnDevice> gates(const ModalityGate& gate, int branches) const override {
    return std::make_shared<KernelGates>(kernels_, DeviceGate(gate, branches, device_));
  }

 private:
  KernelSource kernels_;
  at::Device device_;
};

}  // namespace detail

/// For Calibration::use(): its steps run on `device`, by these kernels. A captured step holds addresses of what use() made: it is
/// to be captured anew after another use() or modalities(), and to be replayed no longer than the calibration lives.
inline std::shared_ptr<const StepsOnDevice> steps_on(at::Device device, KernelSource kernels) {
  return std::make_shared<detail::KernelSteps>(std::move(kernels), device);
}

#if defined(FULLER_DEVICE_KERNELS)
/// The same by the kernels linked into this program, in whichever stream is current:
/// `calibration.use(fuller::steps_on(at::kCUDA))`.
/// @throws Error where fuller_add_cuda_kernels() was not called for this program or shared library.
inline std::shared_ptr<const StepsOnDevice> steps_on(at::Device device) {
  static_cast<void>(device_kernels());
  return steps_on(device, [] { return device_kernels(); });
}
#endif

}  // namespace fuller

#endif  // FULLER_STANDARD
