// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <type_traits>

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Bytes that tensors on the CPU hold while an allocator counts them.
struct HostBytes {
  std::atomic<std::int64_t> live{0};
  std::atomic<std::int64_t> peak{0};

  void add(std::int64_t bytes) {
    const std::int64_t now = live.fetch_add(bytes) + bytes;
    std::int64_t highest = peak.load();
    while (now > highest && !peak.compare_exchange_weak(highest, now)) {
    }
  }
};

inline HostBytes& host_bytes() {
  static HostBytes bytes;
  return bytes;
}

/// An allocator like LibTorch's (64-byte alignment) that notes each block's size in the bytes before it.
struct CountingAllocator : c10::Allocator {
  static constexpr std::size_t header = 64;

  static void release(void* data) {
    if (data != nullptr) {
      char* const block = static_cast<char*>(data) - header;
      std::int64_t bytes = 0;
      std::memcpy(&bytes, block, sizeof bytes);
      host_bytes().add(-bytes);
      std::free(block);
    }
  }

  static c10::DataPtr counted(std::size_t bytes) {
    const c10::Device cpu(c10::DeviceType::CPU);
    if (bytes == 0) {
      return {nullptr, nullptr, &release, cpu};
    }
    const std::size_t whole = (bytes + 2 * header - 1) / header * header;
    void* const block = std::aligned_alloc(header, whole);
    if (block == nullptr) {
      throw std::bad_alloc();
    }
    const auto size = static_cast<std::int64_t>(bytes);
    std::memcpy(block, &size, sizeof size);
    host_bytes().add(size);
    void* const data = static_cast<char*>(block) + header;
    return {data, data, &release, cpu};
  }

  // LibTorch 1 declares allocate() const, LibTorch 2 without; copy_data() is asked for by later ones only. The one that is
  // declared is overridden, so none can be marked so; nor is raw_deleter(), since clang warns where some are and some are not.
  virtual c10::DataPtr allocate(std::size_t bytes) const { return counted(bytes); }
  virtual c10::DataPtr allocate(std::size_t bytes) { return counted(bytes); }
  virtual void copy_data(void* to, const void* from, std::size_t bytes) const { std::memcpy(to, from, bytes); }
  virtual c10::DeleterFnPtr raw_deleter() const { return &release; }
};
static_assert(std::is_same_v<decltype(&c10::Allocator::raw_deleter), c10::DeleterFnPtr (c10::Allocator::*)() const>);

}  // namespace detail

/// Counts the bytes that tensors on the CPU hold, while it lives: it replaces LibTorch's CPU allocator by one that counts, and
/// puts the earlier one back in the end. Only one may live at a time in a process; tensors may outlive it. It counts all threads,
/// but not what libraries allocate by themselves (the work space of a BLAS), and nothing on a device.
class HostMemory {
 public:
  /// @throws Error while another one lives
  HostMemory() {
    if (busy().exchange(true)) {
      detail::fail(
          "host memory is already being measured; let one HostMemory, or measure_overhead(), end before the next begins");
    }
    earlier_ = c10::GetCPUAllocator();
    c10::SetCPUAllocator(allocator(), highest_priority);
  }
  ~HostMemory() {
    c10::SetCPUAllocator(earlier_, highest_priority);
    busy() = false;
  }
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  /// The bytes held now by tensors that were made while a HostMemory lived.
  std::int64_t live() const { return detail::host_bytes().live; }

  /// Calls f, and returns the most bytes that tensors held while it ran, above those held when it began.
  template <class F>
  std::int64_t peak_of(F&& f) const {
    detail::HostBytes& bytes = detail::host_bytes();
    const std::int64_t before = bytes.live;
    bytes.peak = before;
    f();
    return bytes.peak - before;
  }

 private:
  static constexpr std::uint8_t highest_priority = 255;

  static std::atomic<bool>& busy() {
    static std::atomic<bool> is_busy{false};
    return is_busy;
  }
  /// Never destroyed: storages keep a pointer to the allocator they grow by.
  static c10::Allocator* allocator() {
    static auto* const counting = new detail::CountingAllocator;
    return counting;
  }

  c10::Allocator* earlier_ = nullptr;
};

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
