// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <torch/types.h>

#include <fuller/amp/grad_scaler.hpp>

namespace bevfusion {

/// The factor on the loss that keeps half-precision gradients from vanishing: a power of two, so that it changes no bit of them
/// but their exponent. It starts at 2^16, is halved after a step whose gradient is not finite, and doubled after 2000 good ones.
/// Off in full precision.
inline fuller::GradScaler loss_scaler(bool half) {
  fuller::GradScalerOptions options;
  options.enabled = half;
  options.initial = 65536;
  options.growth_interval = 2000;
  options.smallest = 1;
  options.largest = 16777216;  // 2^24
  return fuller::GradScaler(options);
}

/// What a checkpoint keeps of it: the scale, finite steps since it moved, steps whose gradient was not finite, ever.
inline torch::Tensor saved_loss_scale(const fuller::GradScaler& scaler, std::int64_t skipped) {
  return torch::tensor({scaler.get_scale(), static_cast<double>(scaler.finite_steps()), static_cast<double>(skipped)},
                       torch::kDouble);
}

/// Takes those numbers over.
/// @return the number of skipped steps
/// @throws std::runtime_error for numbers that are none of a loss scale's
inline std::int64_t load_loss_scale(fuller::GradScaler& scaler, const torch::Tensor& saved) {
  if (!saved.defined() || saved.numel() != 3) {
    throw std::runtime_error("the checkpoint's loss scale is not three numbers; it is of another program, or damaged");
  }
  /// The archive that a scaler reads: a checkpoint has no more than the numbers.
  struct Numbers {
    torch::Tensor all;
    void read(const std::string&, torch::Tensor& into) const { into = all; }
  };
  const torch::Tensor here = saved.to(torch::kCPU, torch::kDouble);
  const Numbers archive{torch::tensor({here[0].item<double>(), here[1].item<double>(), 2.0, 0.5, 2000.0}, torch::kDouble)};
  if (scaler.enabled()) {
    scaler.load(archive);
  }
  return static_cast<std::int64_t>(here[2].item<double>());
}

}  // namespace bevfusion
