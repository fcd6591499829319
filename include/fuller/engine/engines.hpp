// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <fuller/engine/gate_engine.hpp>
#include <fuller/engine/gate_law.hpp>
#include <fuller/engine/plan.hpp>
#include <fuller/engine/task_engine.hpp>

namespace fuller {
inline namespace v0_1 {

/// Makes the engines of one calibration: what Calibration::use() is given.
class Engines {
 public:
  Engines() = default;
  Engines(const Engines&) = delete;
  Engines& operator=(const Engines&) = delete;
  virtual ~Engines() = default;

  /// The engine that weighs the tasks of `plan`.
  /// @throws Error for a rule or an option that it cannot run
  virtual std::shared_ptr<detail::TaskEngine> tasks(const std::shared_ptr<const detail::Plan>& plan) const = 0;
  /// The engine of gates by `law`.
  /// @throws Error for a gate law that it cannot run
  virtual std::shared_ptr<detail::GateEngine> gates(const detail::GateLaw& law) const = 0;
};

}  // namespace v0_1
}  // namespace fuller
