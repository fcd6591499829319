// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdlib>
#include <string>
#include <thread>

#include "restart.hpp"

namespace example {

/// Starts this program once more so that LibTorch's operations use every core; what the caller has set in the environment stays.
///
/// LibTorch takes one thread in some distributions' builds. And where BLAS has threads of its own, those of OpenMP that wait for
/// work by spinning take the cores away from them: a step takes up to twice as long as with threads that sleep. OpenMP reads
/// these variables before main() begins.
inline void run_on_all_cores(char** arguments) {
  setenv("OMP_NUM_THREADS", std::to_string(std::max(1U, std::thread::hardware_concurrency())).c_str(), 0);
  setenv("GOMP_SPINCOUNT", "0", 0);
  restart_once("FULLER_EXAMPLE_ALL_CORES", arguments);
}

}  // namespace example
