// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstddef>
#include <exception>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "support/threads.hpp"

namespace bevfusion {

/// Makes items first ... count - 1 ahead of time in several threads and hands them out in order. At most `ahead` items are made
/// beyond the one handed out last, so that memory stays bounded. An exception of `make` is thrown by the next() that would have
/// given its item. Where the system gives fewer threads, fewer are used; where it gives none, next() makes the item.
template <typename Item>
class Prefetcher {
 public:
  Prefetcher(std::size_t first, std::size_t count, int threads, std::size_t ahead, std::function<Item(std::size_t)> make)
      : make_(std::move(make)), started_(first), given_(first), count_(count), ahead_(std::max<std::size_t>(1, ahead)) {
    workers_ = example::start_threads(static_cast<std::size_t>(std::max(1, threads)), [this] { work(); });
  }

  ~Prefetcher() {
    {
      const std::lock_guard<std::mutex> lock(guard_);
      stopped_ = true;
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  Prefetcher(const Prefetcher&) = delete;
  Prefetcher& operator=(const Prefetcher&) = delete;

  /// The next item, waiting for it; nothing after the last.
  std::optional<Item> next() {
    std::unique_lock<std::mutex> lock(guard_);
    if (given_ >= count_) return std::nullopt;
    if (workers_.empty()) return make_(given_++);
    ready_.wait(lock, [this] { return made_.count(given_) != 0; });
    Made made = std::move(made_.at(given_));
    made_.erase(given_++);
    lock.unlock();
    wake_.notify_all();
    if (made.error) std::rethrow_exception(made.error);
    return std::move(made.item);
  }

 private:
  struct Made {
    std::optional<Item> item;
    std::exception_ptr error;
  };

  void work() {
    std::unique_lock<std::mutex> lock(guard_);
    while (true) {
      wake_.wait(lock, [this] { return stopped_ || started_ >= count_ || started_ < given_ + ahead_; });
      if (stopped_ || started_ >= count_) return;
      const std::size_t index = started_++;
      lock.unlock();
      Made made;
      try {
        made.item.emplace(make_(index));
      } catch (...) {
        made.error = std::current_exception();
      }
      lock.lock();
      made_.emplace(index, std::move(made));
      ready_.notify_all();
    }
  }

  std::function<Item(std::size_t)> make_;
  std::mutex guard_;
  std::condition_variable wake_;   // for workers: there is room, or the end
  std::condition_variable ready_;  // for next(): an item is there
  std::map<std::size_t, Made> made_;
  std::size_t started_;
  std::size_t given_;
  std::size_t count_;
  std::size_t ahead_;
  bool stopped_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace bevfusion
