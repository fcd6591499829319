// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <memory>
#include <utility>

#include <ATen/core/ivalue.h>
#include <c10/util/intrusive_ptr.h>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Carries a shared pointer inside an autograd node's saved data.
template <class T>
struct Capsule : torch::CustomClassHolder {
  explicit Capsule(std::shared_ptr<T> value) : pointer(std::move(value)) {}
  std::shared_ptr<T> pointer;
};

template <class T>
c10::IValue capsule(std::shared_ptr<T> value) {
  return c10::IValue::make_capsule(c10::make_intrusive<Capsule<T>>(std::move(value)));
}

template <class T>
std::shared_ptr<T> open_capsule(const c10::IValue& value) {
  return c10::static_intrusive_pointer_cast<Capsule<T>>(value.toCapsule())->pointer;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
