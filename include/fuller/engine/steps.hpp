// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/engine/copies.hpp>
#include <fuller/engine/device_gate.hpp>
#include <fuller/engine/engines.hpp>
#include <fuller/engine/kernel_tasks.hpp>
#include <fuller/engine/kernels.hpp>

namespace fuller {

namespace detail {

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
inline std::shared_ptr<const Engines> steps_on(at::Device device, KernelSource kernels) {
  return std::make_shared<detail::KernelEngines>(std::move(kernels), device);
}

#if defined(FULLER_DEVICE_KERNELS)
/// The same by the kernels linked into this program, in whichever stream is current:
/// `calibration.use(fuller::steps_on(at::kCUDA))`.
/// @throws Error where fuller_add_cuda_kernels() was not called for this program or shared library.
inline std::shared_ptr<const Engines> steps_on(at::Device device) {
  static_cast<void>(device_kernels());
  return steps_on(device, [] { return device_kernels(); });
}
#endif

}  // namespace fuller

#endif  // FULLER_STANDARD
