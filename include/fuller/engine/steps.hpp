// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <cstddef>
#include <memory>
#include <utility>

#include <fuller/core/error.hpp>
#include <fuller/engine/engines.hpp>
#include <fuller/engine/kernel_gates.hpp>
#include <fuller/engine/kernel_tasks.hpp>
#include <fuller/engine/kernels.hpp>

namespace fuller {
inline namespace v0_1 {

namespace detail {

class KernelEngines final : public Engines {
 public:
  KernelEngines(KernelSource kernels, at::Device device) : kernels_(std::move(kernels)), device_(device) {}

  std::shared_ptr<TaskEngine> tasks(const std::shared_ptr<const Plan>& plan) const override {
    const std::size_t count = plan->tasks.size();
    if (count > static_cast<std::size_t>(cuda::max_tasks)) {
      fail("the kernels take ", cuda::max_tasks, " tasks, this calibration has ", count);
    }
    auto calibrator = calibrator_of(plan->rule, static_cast<int>(count), device_, cuda::KnownRules());
    if (!calibrator) {
      fail("the kernels do not know the rule '", plan->rule.name(),
           "': a custom rule runs on the host; use(host_rules_on(device)) has it run there without a wait");
    }
    return std::make_shared<KernelTasks>(kernels_, plan, std::move(*calibrator));
  }
  std::shared_ptr<GateEngine> gates(const GateLaw& law) const override { return gates_by_kernels(law, kernels_, device_); }

 private:
  KernelSource kernels_;
  at::Device device_;
};

}  // namespace detail

/// For Calibration::use(): steps run on `device`, by these kernels, and wait for nothing. A captured step holds addresses of what
/// use() made: it must be captured anew after another use() or modalities(), and replayed no longer than the calibration lives.
inline std::shared_ptr<const Engines> steps_on(at::Device device, KernelSource kernels) {
  return std::make_shared<detail::KernelEngines>(std::move(kernels), device);
}

#if defined(FULLER_DEVICE_KERNELS)
/// The same by the kernels that are linked into this program, in the current stream:
/// `calibration.use(fuller::steps_on(at::kCUDA))`.
/// @throws Error where fuller_add_cuda_kernels() was not called for this program or shared library
__attribute__((visibility("hidden"))) inline std::shared_ptr<const Engines> steps_on(at::Device device) {
  static_cast<void>(device_kernels());
  return steps_on(device, [] { return device_kernels(); });
}
#endif

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
