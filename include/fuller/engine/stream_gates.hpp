// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <ATen/core/Tensor.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <fuller/core/error.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/host_function.hpp>
#include <fuller/engine/host_gates.hpp>
#include <fuller/engine/scaled_by_aten.hpp>
#include <fuller/tensor/reductions.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Gates whose law runs on the host when a device's stream comes to it: ATen forms the norms and scales the gradients there.
class StreamGates final : public GateEngine {
 public:
  StreamGates(const GateLaw& law, HostLauncher launcher, at::Device device)
      : GateEngine(law),
        name_(law.name()),
        trip_(std::move(launcher), at::zeros({layout().end}, at::TensorOptions().device(device).dtype(at::kDouble)),
              [run = LawOnHost(law), at = layout()](const BranchesShown& shown, double* numbers) mutable {
                run(shown, numbers + at.squared_norms, numbers + at.scores, numbers, numbers + at.scales);
              }),
        scales_(layout().scales_of(trip_.numbers())) {
    restore(initial_memory(law));
  }

  std::optional<at::Device> device() const override { return trip_.numbers().device(); }
  bool may_wait() const override { return false; }
  at::Tensor no_norms() const override { return at::zeros_like(scales_); }
  void take_norms(const at::Tensor& gradient, const BranchSlices& slices, const at::Tensor& norms) override {
    norms.narrow(0, static_cast<std::int64_t>(slices.first), static_cast<std::int64_t>(slices.widths.size()))
        .copy_(slice_norms_by_aten(gradient, slices.widths, slices.dim));
  }
  at::Tensor scores() const override { return layout().scores_of(trip_.numbers()); }
  void open(const at::Tensor& norms, const BranchesShown& shown) override {
    const c10::DeviceGuard guard(scales_.device());
    layout().squared_norms_of(trip_.numbers()).copy_(norms);
    trip_.go(shown);
  }

  at::Tensor gated(std::size_t m, const at::Tensor& cotangent) override { return scaled_by_aten(cotangent, scale_of(m)); }
  bool is_open(std::size_t /*m*/) const override { return false; }
  at::Tensor part_way(std::size_t m, const at::Tensor& from, const at::Tensor& to) const override {
    return from.lerp(to, scale_of(m).to(to.scalar_type()));
  }

  at::Tensor packed() const override { return trip_.numbers(); }
  void restore(const GateMemory& memory) override {
    const c10::NoGradGuard no_grad;
    at::Tensor(trip_.numbers()).copy_(layout().pack(memory));
  }

  void expect_no_exception() override {
    if (const std::exception_ptr thrown = trip_.take_exception()) {
      fail("in an earlier step the gate law '", name_, "' threw on the host: ", words_of(thrown),
           "; that step had scales of 1, and changed no state of the law");
    }
  }

 private:
  at::Tensor scale_of(std::size_t m) const { return scales_[static_cast<std::int64_t>(m)]; }

  std::string name_;
  HostRoundTrip<BranchesShown> trip_;
  at::Tensor scales_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
