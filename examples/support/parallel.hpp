// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include <torch/torch.h>

#include "threads.hpp"

namespace example {

/// Calls work(0) to work(count - 1), `jobs` at a time (0: one for each processor), each with one thread of LibTorch's; fewer at
/// a time where the system gives fewer threads. The first exception stops what has not begun and is thrown here.
inline void in_parallel(std::size_t count, int jobs, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
  std::mutex mutex;
  const auto loop = [&] {
    at::set_num_threads(1);
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex);
        failure = failure ? failure : std::current_exception();
        next = count;
      }
    }
  };
  const auto wanted = jobs > 0 ? static_cast<std::size_t>(jobs) : std::max<std::size_t>(1, std::thread::hardware_concurrency());
  std::vector<std::thread> threads = start_threads(std::min(wanted, count), loop);
  if (threads.empty()) {
    loop();
  }
  for (auto& thread : threads) {
    thread.join();
  }
  if (failure) {
    std::rethrow_exception(failure);
  }
}

/// Seeds LibTorch's generator and makes a module, alone: initial weights are drawn from the one generator of the process.
template <class Module, class... Arguments>
Module make_seeded(int seed, const Arguments&... arguments) {
  static std::mutex generator;
  const std::lock_guard<std::mutex> lock(generator);
  torch::manual_seed(static_cast<std::uint64_t>(seed));
  return Module(arguments...);
}

}  // namespace example
