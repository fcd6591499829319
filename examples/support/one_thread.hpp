// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <ctime>

#include "restart.hpp"

namespace example {

/// Starts this program once more with one thread for each linear algebra call, so that runs beside each other do not get in each
/// other's way and give the same numbers on every machine with the same libraries. OpenBLAS and the allocator read these
/// variables before main() begins; memory that goes back to the system after every step would cost a third of the time.
inline void run_with_one_thread_each(char** arguments) {
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  setenv("OMP_NUM_THREADS", "1", 1);
  setenv("MALLOC_MMAP_THRESHOLD_", "1000000000", 0);
  setenv("MALLOC_TRIM_THRESHOLD_", "2000000000", 0);
  restart_once("FULLER_EXAMPLE_ONE_THREAD", arguments);
}

/// Processor time of the calling thread in seconds: what a step costs, whatever else the machine is doing.
inline double thread_seconds() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

}  // namespace example
