// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <memory>
#include <utility>

#include <fuller/engine/engines.hpp>
#include <fuller/engine/host_function.hpp>
#include <fuller/engine/stream_gates.hpp>
#include <fuller/engine/stream_tasks.hpp>

// Steps on a device without fuller's kernels: ATen forms the evidence there, the rule runs on the host in the order of the
// stream.

namespace fuller {
inline namespace v0_1 {
namespace detail {

class StreamEngines final : public Engines {
 public:
  StreamEngines(HostLauncher launcher, at::Device device) : launcher_(std::move(launcher)), device_(device) {}

  std::shared_ptr<TaskEngine> tasks(const std::shared_ptr<const Plan>& plan) const override {
    return std::make_shared<StreamTasks>(launcher_, plan, device_);
  }
  std::shared_ptr<GateEngine> gates(const GateLaw& law) const override {
    return std::make_shared<StreamGates>(law, launcher_, device_);
  }

 private:
  HostLauncher launcher_;
  at::Device device_;
};

}  // namespace detail

/// For Calibration::use(), with any rule and gate law, custom ones too, and without compiled kernels. ATen forms the evidence on
/// `device`; rule and law run in a thread of the host when the stream comes to them, by this launcher. Their numbers are copied
/// through pinned memory, there and back, and no step waits. A step can be captured in a CUDA graph, whose replays call the rule.
///
/// The rule must not call LibTorch or CUDA. If it throws, its step has weights of 0, and the next fork(), sum(), diagnostics(),
/// steps(), save(), load() or use() throws an Error with the same words.
///
/// A captured step must be captured anew after another use() or modalities(), and replayed no longer than the calibration lives.
/// While steps run that are not replays, the calibration may be destroyed.
inline std::shared_ptr<const Engines> host_rules_on(at::Device device, HostLauncher launcher) {
  return std::make_shared<detail::StreamEngines>(std::move(launcher), device);
}

/// The same by NVIDIA's driver: `calibration.use(fuller::host_rules_on(at::kCUDA))`.
/// @throws DeviceError where there is no driver, or one without cuLaunchHostFunc
inline std::shared_ptr<const Engines> host_rules_on(at::Device device) { return host_rules_on(device, cuda_host_launcher()); }

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
