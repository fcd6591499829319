// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/core/Tensor.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// `tensor` times a number on the device, a tensor of its own: by selection, 0 gives zeros, NaN or not, and 1 the same bits. Half
/// types are multiplied as float.
inline at::Tensor scaled_by_aten(const at::Tensor& tensor, const at::Tensor& factor) {
  if (tensor.is_sparse()) {
    at::Tensor own = tensor.clone();
    own._values().copy_(scaled_by_aten(own._values(), factor));
    return own;
  }
  const at::ScalarType type = tensor.scalar_type();
  const bool is_half = type == at::kHalf || type == at::kBFloat16;
  const at::Tensor product = tensor.to(is_half ? at::kFloat : type).mul(factor).to(type);
  return at::where(factor.eq(0), at::zeros({}, tensor.options()), product);
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
