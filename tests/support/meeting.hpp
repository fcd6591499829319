// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <condition_variable>
#include <mutex>

#include "support/networks.hpp"

namespace fuller::testing {

/// The means of tensors over threads that stand for ranks and call it in the same order.
class Meeting {
 public:
  explicit Meeting(int ranks) : ranks_(ranks) {}

  void average(Tensors& mine) {
    std::unique_lock<std::mutex> lock(mutex_);
    if (arrived_ == 0) {
      sums_ = copies_of(mine);
    } else {
      for (std::size_t k = 0; k < mine.size(); ++k) {
        sums_[k].add_(mine[k]);
      }
    }
    wait_for_all(lock);
    for (std::size_t k = 0; k < mine.size(); ++k) {
      mine[k].copy_(sums_[k] / ranks_);
    }
    wait_for_all(lock);
  }

 private:
  void wait_for_all(std::unique_lock<std::mutex>& lock) {
    const int round = round_;
    if (++arrived_ == ranks_) {
      arrived_ = 0;
      ++round_;
      all_here_.notify_all();
    } else {
      all_here_.wait(lock, [&] { return round_ != round; });
    }
  }

  const int ranks_;
  std::mutex mutex_;
  std::condition_variable all_here_;
  Tensors sums_;
  int arrived_ = 0;
  int round_ = 0;
};

}  // namespace fuller::testing
