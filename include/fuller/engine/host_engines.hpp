// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <fuller/engine/engines.hpp>
#include <fuller/engine/host_gates.hpp>
#include <fuller/engine/host_tasks.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The host's arithmetic: what a calibration runs on before use().
class HostEngines final : public Engines {
 public:
  std::shared_ptr<TaskEngine> tasks(const std::shared_ptr<const Plan>& plan) const override {
    return std::make_shared<HostTasks>(plan);
  }
  std::shared_ptr<GateEngine> gates(const GateLaw& law) const override { return std::make_shared<HostGates>(law); }
};

inline std::shared_ptr<const Engines> host_engines() { return std::make_shared<HostEngines>(); }

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
