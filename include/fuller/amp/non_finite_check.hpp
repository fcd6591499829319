// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/_amp_foreach_non_finite_check_and_unscale.h>
#include <ATen/ops/_amp_update_scale.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/max.h>
#include <ATen/ops/zeros.h>
#include <torch/version.h>

#include <fuller/core/error.hpp>

// LibTorch's operations of gradient scaling. On the CPU it has them from 2.4 on; before that, the same by other operations.

namespace fuller {
inline namespace v0_1 {
namespace detail {

inline bool has_scaling_operations(const at::Device& device) {
#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 4)
  return device.is_cuda() || device.is_cpu();
#else
  return device.is_cuda();
#endif
}

/// Multiplies gradients of one type and device by `inverse`, and sets `found` to 1 where one of them is not finite; both are one
/// float on that device. Waits for nothing.
inline void check_and_unscale(std::vector<at::Tensor>& gradients, at::Tensor& found, const at::Tensor& inverse) {
  if (has_scaling_operations(found.device())) {
    at::_amp_foreach_non_finite_check_and_unscale_(gradients, found, inverse);
    return;
  }
  for (at::Tensor& gradient : gradients) {
    found.copy_(at::max(found, at::isfinite(gradient).all().logical_not().to(at::kFloat)));
    gradient.mul_(inverse.to(gradient.scalar_type()));
  }
}

/// How a scale moves: times `backoff` after a step with a gradient that is not finite, times `growth` after `interval` steps in a
/// row without.
struct ScaleMoves {
  double growth;
  double backoff;
  std::int64_t interval;
};

/// Moves `scale`, one float, and `finite_steps`, one int, by `found`, one float. Waits for nothing.
/// @throws Error on a device for which LibTorch has no such operation
inline void move_scale(at::Tensor& scale, at::Tensor& finite_steps, const at::Tensor& found, const ScaleMoves& how) {
  if (has_scaling_operations(scale.device())) {
    at::_amp_update_scale_(scale, finite_steps, found, how.growth, how.backoff, how.interval);
    return;
  }
  if (!scale.is_cpu()) {
    fail("this LibTorch cannot move a loss scale on ", scale.device(), "; scale losses on the CPU or a CUDA device");
  }
  auto& value = *scale.data_ptr<float>();
  auto& count = *finite_steps.data_ptr<int>();
  if (*found.data_ptr<float>() > 0) {
    value = static_cast<float>(value * how.backoff);
    count = 0;
  } else if (++count == how.interval) {
    const auto grown = static_cast<float>(value * how.growth);
    value = std::isfinite(grown) ? grown : value;
    count = 0;
  }
}

/// One optimiser's gradients, unscaled, and whether one of them is not finite.
class CheckedGradients {
 public:
  /// Divides all of them by `scale`, once.
  /// @throws Error for gradients in float16, which cannot hold what is unscaled
  CheckedGradients(const std::vector<at::Tensor>& parameters, const at::Tensor& scale) {
    std::vector<std::pair<at::ScalarType, std::vector<at::Tensor>>> groups;
    std::vector<at::Device> devices;
    for (const at::Tensor& parameter : parameters) {
      at::Tensor gradient = parameter.grad();
      if (!gradient.defined()) {
        continue;
      }
      if (gradient.scalar_type() == at::kHalf) {
        fail("a gradient of shape ", gradient.sizes(),
             " is in float16, which cannot hold it unscaled; keep parameters in float, and ", "have autocast compute in half");
      }
      if (gradient.is_sparse()) {
        gradient = gradient._values();
      }
      std::size_t group = 0;
      while (group < groups.size() && (groups[group].first != gradient.scalar_type() || devices[group] != gradient.device())) {
        ++group;
      }
      if (group == groups.size()) {
        groups.emplace_back(gradient.scalar_type(), std::vector<at::Tensor>());
        devices.push_back(gradient.device());
      }
      groups[group].second.push_back(gradient);
    }
    found_ = at::zeros({1}, scale.options());
    any_ = !groups.empty();
    // The inverse in double, rounded once: of a power of two it is exact.
    const at::Tensor inverse = scale.to(at::kDouble).reciprocal().to(at::kFloat);
    for (std::size_t group = 0; group < groups.size(); ++group) {
      at::Tensor found = at::zeros({1}, scale.options().device(devices[group]));
      check_and_unscale(groups[group].second, found, inverse.to(devices[group]));
      found_.add_(found.to(found_.device()));
    }
  }

  bool any() const { return any_; }
  /// [1] float, more than 0 where a gradient is not finite.
  const at::Tensor& found() const { return found_; }

 private:
  at::Tensor found_;
  bool any_ = false;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
