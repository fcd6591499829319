// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

#include <chrono>
#include <ctime>

#include <fuller/core/error.hpp>

namespace fuller {
inline namespace v0_1 {

/// Which time is measured.
enum class Clock {
  wall,    ///< elapsed time: how long a user waits
  thread,  ///< processor time of the calling thread (POSIX): hardly depends on what else the machine does. It does not see other
           ///< threads, so let steps run on one: at::set_num_threads(1)
};

/// A reading of the clock, in seconds since a moment that does not change while the program runs.
/// @throws Error for Clock::thread on a system that has no such clock
inline double seconds(Clock clock) {
  if (clock == Clock::thread) {
#ifdef CLOCK_THREAD_CPUTIME_ID
    timespec time{};
    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0) {
      return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
    }
#endif
    detail::fail("this system does not tell the processor time of a thread; use Clock::wall");
  }
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

}  // namespace v0_1
}  // namespace fuller

#endif  // FULLER_STANDARD
