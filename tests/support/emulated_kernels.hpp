// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels as LibTorch's side sees them, run on emulated blocks over tensors of the CPU; and what a step asked of LibTorch.

#include <ATen/record_function.h>

#include <set>
#include <string>

#include <fuller/engine/kernels.hpp>

#include "support/kernel_launcher.hpp"

namespace fuller::testing {

struct ByEmulation {
  template <class Request>
  static cuda::Outcome submit(const Request& request, void* /*stream*/) {
    return cuda::submit(request, KernelLauncher::in_turn());
  }
};
inline constexpr cuda::KernelTable emulated_table = cuda::KernelTable::by<ByEmulation>();
inline const DeviceKernels emulated_kernels{&emulated_table, nullptr};

/// The names of the operators that f ran.
template <class F>
std::multiset<std::string> operators_of(const F& f) {
  static std::multiset<std::string> names;
  names.clear();
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback([](const at::RecordFunction& function) -> std::unique_ptr<at::ObserverContext> {
        names.insert(function.name());
        return nullptr;
      }).scopes({at::RecordScope::FUNCTION}));
  f();
  at::removeCallback(handle);
  return names;
}

/// Whether one of them brings a value to the host, wherever the tensors are.
inline bool waits(const std::multiset<std::string>& operators) {
  for (const char* name : {"aten::item", "aten::_local_scalar_dense", "aten::is_nonzero", "aten::equal", "aten::nonzero"}) {
    if (operators.count(name) != 0) {
      return true;
    }
  }
  return false;
}

}  // namespace fuller::testing
