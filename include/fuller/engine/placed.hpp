// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <optional>

#include <ATen/core/Tensor.h>

#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What engines of both levels have in common: a place, where the tensors of a step must be.
class Placed {
 public:
  Placed() = default;
  Placed(const Placed&) = delete;
  Placed& operator=(const Placed&) = delete;
  virtual ~Placed() = default;

  /// The device; none: wherever the tensors are.
  virtual std::optional<at::Device> device() const { return {}; }
  /// @throws Error, in words, for a tensor that is elsewhere.
  void expect_here(const at::Tensor& tensor, const char* what) const {
    const std::optional<at::Device> here = device();
    if (here && tensor.device() != *here) {
      fail(what, tensor.device(), ", the calibration's steps run on ", *here,
           "; move the model there, or call use() with that device");
    }
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
