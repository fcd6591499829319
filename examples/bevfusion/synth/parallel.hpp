// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "support/threads.hpp"

namespace bevfusion {

/// Calls job(i) for i = 0 ... count - 1 from several threads (0: as many as the machine has; fewer where the system gives
/// fewer). The first exception ends the work and is thrown on.
template <typename Job>
void parallel_for(std::size_t count, int threads, Job&& job) {
  std::size_t workers = threads > 0 ? static_cast<std::size_t>(threads) : std::max(1U, std::thread::hardware_concurrency());
  workers = std::max<std::size_t>(1, std::min(workers, count));
  std::atomic<std::size_t> next{0};
  std::exception_ptr first_error;
  std::mutex guard;
  const auto work = [&] {
    for (std::size_t i = next++; i < count; i = next++) {
      try {
        job(i);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(guard);
        if (!first_error) first_error = std::current_exception();
        next = count;
      }
    }
  };
  std::vector<std::thread> pool = example::start_threads(workers - 1, work);
  work();
  for (std::thread& thread : pool) thread.join();
  if (first_error) std::rethrow_exception(first_error);
}

}  // namespace bevfusion
