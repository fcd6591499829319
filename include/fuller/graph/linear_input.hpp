// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/autograd/generated/Functions.h>

#include <fuller/graph/walk.hpp>

namespace fuller::detail {

/// The input x [N, in] that the node of y = x W^T (+ b) saved for its weight gradient, or an undefined tensor for any other node.
///
/// Waits for nothing and copies nothing. Valid until the backward has passed the node.
inline at::Tensor linear_input(Node& node) {
  if (auto* with_bias = dynamic_cast<torch::autograd::generated::AddmmBackward0*>(&node)) {
    return with_bias->alpha.equal(1) ? with_bias->mat1_.unpack() : at::Tensor();
  }
  if (auto* plain = dynamic_cast<torch::autograd::generated::MmBackward0*>(&node)) {
    return plain->self_.unpack();
  }
  return {};
}

}  // namespace fuller::detail
