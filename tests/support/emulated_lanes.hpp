// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace fuller::testing {

/// A warp on the host: 32 threads whose `sync` is a barrier, so that a thread sanitizer sees the races that a warp would have.
class EmulatedLane {
 public:
  static constexpr int count = 32;

  class Barrier {
   public:
    void wait() {
      std::unique_lock<std::mutex> lock(mutex_);
      const std::int64_t round = round_;
      if (++waiting_ == count) {
        waiting_ = 0;
        ++round_;
        all_here_.notify_all();
      } else {
        all_here_.wait(lock, [&] { return round_ != round; });
      }
    }

   private:
    std::mutex mutex_;
    std::condition_variable all_here_;
    int waiting_ = 0;
    std::int64_t round_ = 0;
  };

  EmulatedLane(int index, Barrier& barrier) : index_(index), barrier_(&barrier) {}

  int index() const { return index_; }
  void sync() const { barrier_->wait(); }

 private:
  int index_;
  Barrier* barrier_;
};

/// Calls body(lane) on each of the 32 lanes at once.
template <class Body>
void on_all_lanes(const Body& body) {
  EmulatedLane::Barrier barrier;
  std::vector<std::thread> threads;
  for (int i = 0; i < EmulatedLane::count; ++i) {
    threads.emplace_back([&body, &barrier, i] { body(EmulatedLane(i, barrier)); });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace fuller::testing
