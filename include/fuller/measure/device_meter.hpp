// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <cstdint>
#include <string>

#include <c10/core/Device.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#if __has_include(<c10/core/CachingDeviceAllocator.h>)
#include <c10/core/CachingDeviceAllocator.h>
#endif
#ifdef FULLER_MEASURE_CUDA
#include <c10/cuda/CUDAFunctions.h>
#include <c10/util/Exception.h>
#endif

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The value of a peak or a number of waits that could not be measured.
inline constexpr std::int64_t not_measured = -1;

/// Waits until the device has done all work in the current stream; on the CPU it returns at once.
inline void wait_for(c10::Device device) {
  if (!device.is_cpu()) {
    const c10::impl::VirtualGuardImpl guard(device.type());
    guard.getStream(device.has_index() ? device : guard.getDevice()).synchronize();
  }
}

/// Calls f, and returns the most bytes that tensors on the device held while it ran, above those held when it began;
/// `not_measured` where this LibTorch has no common interface to its caching allocators (that came with 2.9).
template <class F>
std::int64_t device_peak_of([[maybe_unused]] c10::Device device, F&& f) {
#if __has_include(<c10/core/CachingDeviceAllocator.h>)
  wait_for(device);
  const c10::impl::VirtualGuardImpl guard(device.type());
  const c10::DeviceIndex index = (device.has_index() ? device : guard.getDevice()).index();
  c10::DeviceAllocator& allocator = *c10::getDeviceAllocator(device.type());
  allocator.resetPeakStats(index);
  const std::int64_t before = allocator.getDeviceStats(index).allocated_bytes[0].current;
  f();
  wait_for(device);
  return allocator.getDeviceStats(index).allocated_bytes[0].peak - before;
#else
  f();
  return not_measured;
#endif
}

#ifdef FULLER_MEASURE_CUDA
/// Counts the warnings that LibTorch gives in its synchronisation debug mode.
struct CountWaits : c10::WarningHandler {
  std::int64_t count = 0;
  void process(const c10::Warning& warning) override {
    if (warning.msg().find("synchronizing") != std::string::npos) {
      ++count;
    }
  }
};
#endif

/// Calls f, and returns how often LibTorch made the host wait for a CUDA device while it ran, by LibTorch's synchronisation debug
/// mode; `not_measured` on other devices, and unless FULLER_MEASURE_CUDA is defined (which needs CUDA's headers and
/// libc10_cuda).
template <class F>
std::int64_t host_waits_of([[maybe_unused]] c10::Device device, F&& f) {
#ifdef FULLER_MEASURE_CUDA
  if (device.is_cuda()) {
    CountWaits waits;
    const c10::WarningUtils::WarningHandlerGuard handler(&waits);
    auto& mode = c10::cuda::warning_state();
    const auto earlier = mode.get_sync_debug_mode();
    mode.set_sync_debug_mode(c10::cuda::SyncDebugMode::L_WARN);
    try {
      f();
    } catch (...) {
      mode.set_sync_debug_mode(earlier);
      throw;
    }
    mode.set_sync_debug_mode(earlier);
    return waits.count;
  }
#endif
  f();
  return not_measured;
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
