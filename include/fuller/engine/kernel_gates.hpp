// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <ATen/core/Tensor.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <cstddef>
#include <memory>
#include <optional>
#include <utility>

#include <fuller/core/error.hpp>
#include <fuller/cuda/calls.hpp>
#include <fuller/engine/device_gate.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/kernels.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Gates by DeviceGate and the kernels beside it.
class KernelGates final : public GateEngine {
 public:
  KernelGates(const GateLaw& law, KernelSource kernels, DeviceGate gate)
      : GateEngine(law), kernels_(std::move(kernels)), gate_(std::move(gate)) {}

  std::optional<at::Device> device() const override { return gate_.scales().device(); }
  bool may_wait() const override { return false; }
  at::Tensor no_norms() const override { return at::zeros_like(gate_.squared_norms()); }
  void take_norms(const at::Tensor& gradient, const BranchSlices& slices, const at::Tensor& norms) override {
    const c10::DeviceGuard guard(norms.device());
    gate_.measure(kernels_(), gradient, slices.widths, norms, static_cast<std::int64_t>(slices.first), slices.dim);
  }
  at::Tensor scores() const override { return gate_.scores().narrow(0, 0, layout().end - layout().scores); }
  void open(const at::Tensor& norms, const BranchesShown& shown) override {
    const c10::DeviceGuard guard(norms.device());
    gate_.open(kernels_(), norms, shown.sizes, shown.present);
  }

  at::Tensor gated(std::size_t m, const at::Tensor& cotangent) override {
    const c10::DeviceGuard guard(gate_.scales().device());
    return scaled(kernels_(), cotangent, gate_.scales().data_ptr<double>() + m);
  }
  bool is_open(std::size_t /*m*/) const override { return false; }
  at::Tensor part_way(std::size_t m, const at::Tensor& from, const at::Tensor& to) const override {
    return from.lerp(to, gate_.scales()[static_cast<std::int64_t>(m)].to(to.scalar_type()));
  }

  at::Tensor packed() const override {
    const c10::NoGradGuard no_grad;
    return at::cat({gate_.state(), gate_.scales(), gate_.squared_norms(), scores()});
  }
  void restore(const GateMemory& memory) override {
    const c10::NoGradGuard no_grad;
    const at::Tensor numbers = layout().pack(memory);
    at::Tensor(gate_.state()).copy_(layout().state_of(numbers));
    at::Tensor(gate_.scales()).copy_(layout().scales_of(numbers));
    at::Tensor(gate_.squared_norms()).copy_(layout().squared_norms_of(numbers));
    scores().copy_(layout().scores_of(numbers));
  }

 private:
  KernelSource kernels_;
  DeviceGate gate_;
};

/// The law on a device, if the kernels know it.
template <class... Laws>
std::optional<DeviceGate> device_gate_of(const GateLaw& law, at::Device device, cuda::GateList<Laws...> /*known*/) {
  std::optional<DeviceGate> made;
  const auto make = [&](const auto* known) {
    if (known != nullptr) {
      made.emplace(*known, law.branches(), device);
    }
  };
  (make(law.as<Laws>()), ...);
  return made;
}

/// @throws Error for a law that the kernels do not know, or more branches than they take.
inline std::shared_ptr<GateEngine> gates_by_kernels(const GateLaw& law, KernelSource kernels, at::Device device) {
  if (law.branches() > cuda::max_tasks) {
    fail("the kernels take ", cuda::max_tasks, " branches, this calibration has ", law.branches());
  }
  auto gate = device_gate_of(law, device, cuda::KnownGates());
  if (!gate) {
    fail("the kernels do not know the gate law '", law.name(),
         "': a custom law runs on the host; use(host_rules_on(device)) has it run there without a wait");
  }
  return std::make_shared<KernelGates>(law, std::move(kernels), std::move(*gate));
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
