// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <thread>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/Event.h>
#include <c10/core/impl/VirtualGuardImpl.h>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Copies numbers from a device (or to one); waits.
template <class T>
void copy_to_host(const at::Tensor& from, T* to, std::size_t count) {
  const at::Tensor host = from.to(at::kCPU).contiguous();
  if (count > 0) {
    std::memcpy(to, host.data_ptr(), count * sizeof(T));
  }
}
template <class T>
void copy_from_host(const T* from, std::size_t count, const at::Tensor& to) {
  if (count > 0) {
    at::Tensor host = at::empty({static_cast<std::int64_t>(count)}, to.options().device(at::kCPU));
    std::memcpy(host.data_ptr(), from, count * sizeof(T));
    to.view({-1}).narrow(0, 0, static_cast<std::int64_t>(count)).copy_(host);
  }
}

/// Numbers on their way to pinned memory of the host.
class PinnedCopy {
 public:
  explicit PinnedCopy(const at::Tensor& numbers) {
    const at::Device device = numbers.device();
    host_ = at::empty(numbers.sizes(), numbers.options().device(at::kCPU).pinned_memory(!device.is_cpu()));
    host_.copy_(numbers, /*non_blocking=*/true);
    if (!device.is_cpu()) {
      arrived_.emplace(device.type());
      arrived_->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
    }
  }

  bool is_there() const { return !arrived_ || arrived_->query(); }
  const at::Tensor& wait() const {
    while (!is_there()) {
      std::this_thread::yield();
    }
    return host_;
  }

 private:
  at::Tensor host_;
  std::optional<c10::Event> arrived_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
