// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include <ATen/core/Tensor.h>

#include <fuller/gates/modality_gate.hpp>

namespace fuller::detail {

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

}  // namespace fuller::detail
