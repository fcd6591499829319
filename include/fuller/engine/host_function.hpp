// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <dlfcn.h>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/Stream.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <atomic>
#include <deque>
#include <exception>
#include <functional>
#include <iterator>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include <fuller/core/error.hpp>

// Functions of the host in the order of a device's stream.

namespace fuller {
inline namespace v0_1 {

/// Puts `function(argument)` into a stream. A thread of the driver calls it when all earlier work in the stream is done, and all
/// later work waits for it. In a captured stream it is called at each replay. Returns false where that failed.
using HostLauncher = std::function<bool(const c10::Stream& stream, void (*function)(void*), void* argument)>;

namespace detail {

/// cuLaunchHostFunc (CUDA 10 and later), as its manual gives it, and 0 for CUDA_SUCCESS.
using LaunchHostFunction = int (*)(void* stream, void (*function)(void*), void* argument);

/// The driver's cuLaunchHostFunc, from its library, which stays loaded.
/// @throws DeviceError where there is no such library, or no such function in it
inline LaunchHostFunction find_host_launch(const char* library) {
  void* const driver = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (driver == nullptr) {
    const char* const said = dlerror();
    fail_on_device("host functions in a stream need NVIDIA's driver: ", said == nullptr ? library : said,
                   "; without one, leave out use(), and each step waits once");
  }
  void* const found = dlsym(driver, "cuLaunchHostFunc");
  if (found == nullptr) {
    fail_on_device(library, " has no cuLaunchHostFunc; NVIDIA's drivers have it from CUDA 10 on");
  }
  return reinterpret_cast<LaunchHostFunction>(found);
}

template <class Stream, class = void>
struct tells_handle : std::false_type {};
template <class Stream>
struct tells_handle<Stream, std::void_t<decltype(std::declval<const Stream&>().native_handle())>> : std::true_type {};

/// The cudaStream_t of a stream.
/// @throws Error before LibTorch 2.11 for others than the default stream, which is null.
template <class Stream>
void* handle_of(const Stream& stream) {
  if constexpr (tells_handle<Stream>::value) {
    return stream.native_handle();
  } else {
    if (stream.id() != 0) {
      fail(
          "LibTorch says from 2.11 on which stream of the driver's a stream is; before, only the default stream is known: give ",
          "host_rules_on() a launcher that calls cudaLaunchHostFunc(c10::cuda::CUDAStream(stream).stream(), function, argument)");
    }
    return nullptr;
  }
}

/// What host functions look at that may still be in a stream when their owner is gone.
struct HostWork {
  HostWork() = default;
  HostWork(const HostWork&) = delete;
  HostWork& operator=(const HostWork&) = delete;
  virtual ~HostWork() = default;

  std::atomic<bool> done{false};  ///< nothing in any stream looks at it any more
};

/// Keeps work until it is done, and lets go of all that is. Not in the driver's thread, which must not free a device's memory.
inline void keep_until_done(std::unique_ptr<HostWork> work) {
  static auto& lock = *new std::mutex;  // both outlive the program's other statics
  static auto& kept = *new std::vector<std::unique_ptr<HostWork>>;
  std::vector<std::unique_ptr<HostWork>> over;
  const std::lock_guard<std::mutex> guard(lock);
  const auto first = std::stable_partition(kept.begin(), kept.end(), [](const auto& one) { return !one->done; });
  std::move(first, kept.end(), std::back_inserter(over));
  kept.erase(first, kept.end());
  if (work) {
    kept.push_back(std::move(work));
  }
}

/// What an exception said.
inline std::string words_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "an exception that is no std::exception";
  }
}

/// Numbers of a device that go to pinned memory, are changed there by a function of the host's, and go back, all in the order of
/// the current stream: nobody waits. A `Question` is what the host tells the function: a plain struct with ==.
template <class Question>
class HostRoundTrip {
 public:
  /// @param numbers  doubles, contiguous; their addresses, and those of the pinned copy, are in what is captured
  /// @param answer   called with a question and the pinned numbers, in a thread of the driver's, one call at a time
  HostRoundTrip(HostLauncher launcher, const at::Tensor& numbers, std::function<void(const Question&, double*)> answer)
      : launcher_(std::move(launcher)), work_(std::make_unique<Work>()) {
    keep_until_done(nullptr);
    work_->pinned = at::empty(numbers.sizes(), numbers.options().device(at::kCPU).pinned_memory(!numbers.device().is_cpu()));
    work_->data = work_->pinned.template data_ptr<double>();
    work_->numbers = numbers;
    work_->answer = std::move(answer);
  }
  HostRoundTrip(const HostRoundTrip&) = delete;
  HostRoundTrip& operator=(const HostRoundTrip&) = delete;
  /// Calls may still be in the stream: the last function put there says that none comes after it.
  ~HostRoundTrip() {
    if (!stream_) {
      return;
    }
    Work* const work = work_.get();
    keep_until_done(std::move(work_));
    try {
      const c10::DeviceGuard guard(stream_->device());
      launcher_(
          *stream_, [](void* argument) { static_cast<Work*>(argument)->done = true; }, work);
    } catch (...) {  // no driver any more: the work is kept, which harms nobody
    }
  }

  const at::Tensor& numbers() const { return work_->numbers; }

  /// One round trip. Allocates only for a question that was not asked before.
  /// @throws DeviceError where the driver refuses
  void go(const Question& question) {
    const at::Device device = numbers().device();
    stream_ = c10::impl::VirtualGuardImpl(device.type()).getStream(device);
    auto& asked = work_->asked;
    auto known = std::find_if(asked.begin(), asked.end(), [&](const Asked& one) { return one.question == question; });
    if (known == asked.end()) {
      asked.push_back({work_.get(), question});
      known = std::prev(asked.end());
    }
    work_->pinned.copy_(numbers(), /*non_blocking=*/true);
    if (!launcher_(*stream_, &HostRoundTrip::call, &*known)) {
      fail_on_device("the driver refused a host function in ", *stream_,
                     ": a stream of another device, or an earlier error on it");
    }
    work_->numbers.copy_(work_->pinned, /*non_blocking=*/true);
  }

  /// The first exception that left `answer` since this was last asked; null for none.
  std::exception_ptr take_exception() {
    const std::lock_guard<std::mutex> guard(work_->lock);
    return std::exchange(work_->thrown, nullptr);
  }

 private:
  struct Work;
  struct Asked {
    Work* work;
    Question question;
  };
  struct Work final : HostWork {
    at::Tensor numbers;
    at::Tensor pinned;
    double* data = nullptr;
    std::function<void(const Question&, double*)> answer;
    std::deque<Asked> asked;  // by address in what a stream holds
    std::mutex lock;
    std::exception_ptr thrown;
  };

  static void call(void* argument) {
    const auto& asked = *static_cast<const Asked*>(argument);
    try {
      asked.work->answer(asked.question, asked.work->data);
    } catch (...) {
      const std::lock_guard<std::mutex> guard(asked.work->lock);
      if (!asked.work->thrown) {
        asked.work->thrown = std::current_exception();
      }
    }
  }

  HostLauncher launcher_;
  std::unique_ptr<Work> work_;
  std::optional<c10::Stream> stream_;
};

}  // namespace detail

/// A launcher by NVIDIA's driver, whose library this call looks for: no CUDA toolkit is needed.
/// @throws DeviceError where there is no driver, or none with cuLaunchHostFunc.
inline HostLauncher cuda_host_launcher(const char* library = "libcuda.so.1") {
  return [launch = detail::find_host_launch(library)](const c10::Stream& stream, void (*function)(void*), void* argument) {
    return launch(detail::handle_of(stream), function, argument) == 0;
  };
}

}  // namespace v0_1
}  // namespace fuller
