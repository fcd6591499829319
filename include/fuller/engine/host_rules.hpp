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

#include <fuller/core/error.hpp>
#include <fuller/engine/copies.hpp>
#include <fuller/engine/engines.hpp>
#include <fuller/engine/host_function.hpp>
#include <fuller/engine/scaled_by_aten.hpp>
#include <fuller/engine/stream_tasks.hpp>
#include <fuller/tensor/reductions.hpp>

// Steps on a device without kernels of ours: ATen forms the evidence there, the rule runs on the host in the order of the stream.

namespace fuller {
namespace detail {

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

class StreamEngines final : public Engines {
 public:
  StreamEngines(HostLauncher launcher, at::Device device) : launcher_(std::move(launcher)), device_(device) {}

  std::shared_ptr<TaskEngine> tasks(const std::shared_ptr<const Plan>& plan) const override {
    return std::make_shared<StreamTasks>(launcher_, plan, device_);
  }
  std::shared_ptr<GatesOnDevice> gates(const ModalityGate& gate, int branches) const override {
    return std::make_shared<HostRuleGates>(launcher_, gate, branches, device_);
  }

 private:
  HostLauncher launcher_;
  at::Device device_;
};

}  // namespace detail

/// For Calibration::use(), with any rule, a custom one too, and no compiled kernels: ATen forms the evidence on `device`, and the
/// rule runs in a thread of the host when the stream comes to it, by this launcher. Its numbers travel through pinned memory,
/// there and back, and no step waits; it can be captured in a CUDA graph, whose replays call the rule.
///
/// The rule must not call LibTorch or CUDA. An exception that it throws is kept, as Error and in words, for the next fork(),
/// sum(), diagnostics(), steps(), save(), load() or use(); the step that it was thrown in has weights of 0. What is captured is
/// to be captured anew after another use() or modalities(), and replayed no longer than the calibration lives; of steps that are
/// not, it may be destroyed while they run.
inline std::shared_ptr<const Engines> host_rules_on(at::Device device, HostLauncher launcher) {
  return std::make_shared<detail::StreamEngines>(std::move(launcher), device);
}

/// The same by NVIDIA's driver: `calibration.use(fuller::host_rules_on(at::kCUDA))`.
/// @throws Error where there is no driver.
inline std::shared_ptr<const Engines> host_rules_on(at::Device device) { return host_rules_on(device, cuda_host_launcher()); }

}  // namespace fuller

#endif  // FULLER_STANDARD
