// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstdint>

#include <ATen/core/Tensor.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/slice.h>
#include <c10/core/TensorImpl.h>
#include <c10/core/UndefinedTensorImpl.h>
#include <c10/util/intrusive_ptr.h>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A parameter's version and, on the CPU, a few of its values, to tell whether it has been written since. (LibTorch's SGD writes
/// through `data()`, which leaves the version; values on a device would have to be waited for.) Keeps no parameter alive.
class NotedParameter {
 public:
  /// @param values  whether values may be looked at: not where the steps run on a device, which would be waited for
  NotedParameter(const at::Tensor& parameter, bool values)
      : weak_(parameter.getIntrusivePtr()),
        version_(parameter._version()),
        sample_(values ? sample_of(parameter) : at::Tensor()) {}

  bool is(const at::Tensor& other) const {
    const auto alive = weak_.lock();
    return alive && alive.get() == other.unsafeGetTensorImpl();
  }
  bool is_frozen() const {
    const auto alive = weak_.lock();
    return alive && !alive->requires_grad();
  }
  bool is_written() const {
    const auto alive = weak_.lock();
    if (!alive) {
      return false;
    }
    const at::Tensor now(alive);
    return now._version() != version_ || (sample_.defined() && !sample_.equal(view_of(now)));
  }

 private:
  /// Its first values.
  static at::Tensor view_of(const at::Tensor& parameter) {
    constexpr std::int64_t few = 64;
    return parameter.detach().view({-1}).slice(0, 0, few);
  }
  static at::Tensor sample_of(const at::Tensor& parameter) {
    const bool at_hand = parameter.is_cpu() && parameter.layout() == at::kStrided && parameter.is_contiguous();
    return at_hand ? view_of(parameter).clone() : at::Tensor();
  }

  c10::weak_intrusive_ptr<c10::TensorImpl, c10::UndefinedTensorImpl> weak_;
  std::int64_t version_;
  at::Tensor sample_;  ///< undefined where it was not taken
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
