// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <utility>

#include <fuller/engine/host_function.hpp>

namespace fuller::testing {

/// What a driver does with host functions: runs them in order in a thread of its own.
///
/// Tensors of the CPU are copied at once, so a launch here ends when its function has run, as if the stream had come to it;
/// unless the stream is held: functions then wait for release(), long after the step that launched them.
class HostStream {
 public:
  HostStream() : thread_([this] { run(); }) {}
  HostStream(const HostStream&) = delete;
  HostStream& operator=(const HostStream&) = delete;
  ~HostStream() {
    {
      const std::lock_guard<std::mutex> guard(lock_);
      held_ = false;
      ended_ = true;
    }
    changed_.notify_all();
    thread_.join();
  }

  HostLauncher launcher() {
    return [this](const c10::Stream&, void (*function)(void*), void* argument) {
      std::unique_lock<std::mutex> guard(lock_);
      if (refuses) {
        return false;
      }
      launched_.emplace_back(function, argument);
      changed_.notify_all();
      changed_.wait(guard, [this] { return held_ || launched_.empty(); });
      return true;
    };
  }

  void hold() {
    const std::lock_guard<std::mutex> guard(lock_);
    held_ = true;
  }
  /// Runs what was held back, and ends when it has run.
  void release() {
    std::unique_lock<std::mutex> guard(lock_);
    held_ = false;
    changed_.notify_all();
    changed_.wait(guard, [this] { return launched_.empty(); });
  }

  std::thread::id thread() const { return thread_.get_id(); }
  bool refuses = false;

 private:
  void run() {
    std::unique_lock<std::mutex> guard(lock_);
    while (true) {
      changed_.wait(guard, [this] { return ended_ || (!held_ && !launched_.empty()); });
      if (launched_.empty()) {
        return;
      }
      const auto [function, argument] = launched_.front();
      guard.unlock();
      function(argument);
      guard.lock();
      launched_.pop_front();
      changed_.notify_all();
    }
  }

  std::mutex lock_;
  std::condition_variable changed_;
  std::deque<std::pair<void (*)(void*), void*>> launched_;
  bool held_ = false;
  bool ended_ = false;
  std::thread thread_;
};

}  // namespace fuller::testing
