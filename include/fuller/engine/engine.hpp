// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/gates/modality_gate.hpp>

// What a calibration asks of whoever does its arithmetic on a device. autograd knows this much of it and no more; see
// fuller/engine/steps.hpp and fuller/engine/host_rules.hpp for the two there are.

namespace fuller {
namespace detail {

struct State;
struct Step;

/// The level of the tasks on a device: evidence, rule, weights and state stay there. But for read(), write() and expect_finite(),
/// which wait, everything is put into the current stream and forgotten.
class TasksOnDevice {
 public:
  TasksOnDevice() = default;
  TasksOnDevice(const TasksOnDevice&) = delete;
  TasksOnDevice& operator=(const TasksOnDevice&) = delete;
  virtual ~TasksOnDevice() = default;

  /// Where the tensors of a step must be.
  virtual at::Device device() const = 0;
  /// Asks the rule, as weigh() does on the host. `present`, `measured` of `step.outcome` and `step.device_scale` are given;
  /// `gradients` is read where measured.
  /// @return what the heads of this step are weighted with: [T] doubles on the device, which no later step writes to
  virtual at::Tensor weigh(const State& state, const Step& step, const std::vector<std::vector<at::Tensor>>& gradients) = 0;
  /// sum_i w_i cotangents[i] with the weights that weigh() has found last, a tensor of its own.
  virtual at::Tensor combined(at::TensorList cotangents) = 0;
  /// `gradient` times the weight of `task` among those that weigh() gave; in place where the gradient's memory is its own.
  virtual at::Tensor weighted_head(const at::Tensor& weights, std::size_t task, const at::Tensor& gradient) = 0;
  virtual void set_epoch(std::int64_t epoch) = 0;
  /// The rule's state, the counters and the last step's verdict and evidence: doubles one behind the other, on the device.
  virtual at::Tensor packed() const = 0;
  /// Takes a copy of them on the host apart.
  virtual void unpack(const at::Tensor& numbers, State& state) const = 0;
  void read(State& state) const { unpack(packed().to(at::kCPU), state); }
  /// And takes them back.
  virtual void write(const State& state) = 0;
  /// @throws NonFiniteError once for the first step since the last call that NonFinite::throw_error would have ended.
  virtual void expect_finite(const State& state) = 0;
  /// @throws Error once for an exception that a rule on the host has thrown since the last call. Waits for nothing.
  virtual void expect_no_exception() {}
};

/// The level of the modalities on a device, likewise.
class GatesOnDevice {
 public:
  GatesOnDevice() = default;
  GatesOnDevice(const GatesOnDevice&) = delete;
  GatesOnDevice& operator=(const GatesOnDevice&) = delete;
  virtual ~GatesOnDevice() = default;

  virtual at::Device device() const = 0;
  /// [M] doubles of 0: where a step's squared norms go.
  virtual at::Tensor no_norms() const = 0;
  /// The squared norms of the slices of a fusion weight's gradient, along dimension 1, to norms[first], norms[first + 1], ...
  virtual void take_norms(const at::Tensor& gradient, at::IntArrayRef widths, const at::Tensor& norms, std::int64_t first) = 0;
  /// Moves the gates.
  virtual void open(const at::Tensor& norms, const std::vector<double>& sizes, const std::vector<std::uint8_t>& present) = 0;
  /// `cotangent` times the scale of branch m, a tensor of its own.
  virtual at::Tensor gated(std::size_t m, const at::Tensor& cotangent) = 0;
  /// [M] doubles: w_m of the last step.
  virtual const at::Tensor& scales() const = 0;
  /// The gates, the scales and the squared norms of the last step: [3 M] doubles on the device.
  virtual at::Tensor packed() const = 0;
  virtual void write(const std::vector<double>& state, const std::vector<double>& scales,
                     const std::vector<double>& squared_norms) = 0;
};

}  // namespace detail

/// Makes both levels for one calibration: what Calibration::use() is given.
class StepsOnDevice {
 public:
  StepsOnDevice() = default;
  StepsOnDevice(const StepsOnDevice&) = delete;
  StepsOnDevice& operator=(const StepsOnDevice&) = delete;
  virtual ~StepsOnDevice() = default;

  /// @throws Error, in words, for a rule or an option that only the host can serve.
  virtual std::shared_ptr<detail::TasksOnDevice> tasks(const detail::State& state) const = 0;
  /// @throws Error for what the gate refuses.
  virtual std::shared_ptr<detail::GatesOnDevice> gates(const ModalityGate& gate, int branches) const = 0;
};

}  // namespace fuller
