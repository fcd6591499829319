// SPDX-License-Identifier: Apache-2.0
#pragma once

// A look into a running backward.

#include <cstdint>
#include <functional>

#include <torch/torch.h>

#include <fuller/graph/libtorch.hpp>

namespace fuller::testing {

inline torch::Tensor number(double value) { return torch::tensor(value, torch::kDouble).set_requires_grad(true); }
inline double value_of(const torch::Tensor& tensor) { return tensor.item<double>(); }
inline const detail::Node* node_of(const torch::Tensor& tensor) { return detail::gradient_edge(tensor).function.get(); }

/// The identity, which calls something in its backward. What is called is the caller's and must not throw what no one catches: a
/// CHECK will do, a REQUIRE leaves the engine as an exception.
struct Probe : torch::autograd::Function<Probe> {
  using Call = std::function<void()>;

  static torch::Tensor forward(torch::autograd::AutogradContext* context, const torch::Tensor& x, const Call* call) {
    context->saved_data["call"] = reinterpret_cast<std::int64_t>(call);
    return x.clone();
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    (*reinterpret_cast<const Call*>(context->saved_data["call"].toInt()))();
    return {gradients[0], torch::Tensor()};
  }
};

}  // namespace fuller::testing
