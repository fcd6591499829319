// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <exception>
#include <thread>
#include <vector>

namespace example {

/// Starts up to `count` threads that call `work`: fewer, maybe none, where the system has no more to give (a limit on processes
/// or memory). So `work` has to be of the kind that takes the next piece until none is left, and the caller does it where there
/// is no thread. A vector that threads are added to one by one would end the program at the first that cannot be started.
template <class Work>
std::vector<std::thread> start_threads(std::size_t count, const Work& work) {
  std::vector<std::thread> threads;
  threads.reserve(count);
  try {
    while (threads.size() < count) {
      threads.emplace_back(work);
    }
  } catch (const std::exception&) {
    return threads;
  }
  return threads;
}

}  // namespace example
