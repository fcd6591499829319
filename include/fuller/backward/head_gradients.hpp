// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <iterator>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/backward/state.hpp>
#include <fuller/core/error.hpp>
#include <fuller/graph/libtorch.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Sets the heads' `.grad` aside while one backward runs, so that what this backward adds can be told apart, weighted, and added
/// to what was there.
///
/// A head's gradient is linear in its task's loss, so that w_i times the gradient of L_i is the gradient of w_i L_i: exact, and
/// no second pass. Owned by the engine's final callbacks: if the backward throws, the callbacks die unrun and everything is put
/// back.
class HeadGradients {
 public:
  HeadGradients(std::shared_ptr<State> state, std::shared_ptr<Step> step) : state_(std::move(state)), step_(std::move(step)) {
    for (const auto& head : step_->summed->heads) {
      auto& earlier = earlier_.emplace_back();
      for (const at::Tensor& parameter : head) {
        earlier.push_back(parameter.grad());
        parameter.mutable_grad() = at::Tensor();
      }
    }
  }
  ~HeadGradients() {
    inner_.reset();
    if (!finished_) {
      put_back();
    }
  }
  HeadGradients(const HeadGradients&) = delete;
  HeadGradients& operator=(const HeadGradients&) = delete;

  /// Has the engine call finish() when the running backward is through.
  ///
  /// The callback queues itself once more: a data-parallel reducer queues its own callback later than the first and then copies
  /// its buckets over `.grad`. A calibration inside another's head has set the same `.grad` aside after that one, and so is to be
  /// finished, or put back, before it.
  static void finish_last(std::shared_ptr<HeadGradients> heads) {
    static std::mutex mutex;
    static std::unordered_map<const void*, std::weak_ptr<HeadGradients>> innermost;  // of each running backward
    const void* running = nodes_of_backward();
    {
      const std::lock_guard<std::mutex> lock(mutex);
      for (auto entry = innermost.begin(); entry != innermost.end();) {
        entry = entry->second.expired() ? innermost.erase(entry) : std::next(entry);
      }
      std::weak_ptr<HeadGradients>& last = innermost[running];
      const auto outer = last.lock();
      last = heads;
      if (outer) {
        outer->inner_ = std::move(heads);
        return;
      }
    }
    at_very_end_of_backward([heads = std::move(heads)] { heads->finish(); });
  }

 private:
  void finish() {
    if (inner_) {
      inner_->finish();
    }
    const at::NoGradGuard no_grad;
    if (!step_->pass.outcome.weighed && left_unweighted()) {
      put_back();
      finished_ = true;
      fail(
          "a backward reached head parameters without passing fork(), so their gradients could not be weighted; differentiate to "
          "the shared parameters too");
    }
    std::vector<std::vector<at::Tensor>> added(earlier_.size());
    for (std::size_t i = 0; i < earlier_.size(); ++i) {
      for (std::size_t k = 0; k < earlier_[i].size(); ++k) {
        added[i].push_back(weighted(i, step_->summed->heads[i][k].grad()));
      }
    }
    for (std::size_t i = 0; i < earlier_.size(); ++i) {  // from here on nothing can be put back, and nothing throws
      for (std::size_t k = 0; k < earlier_[i].size(); ++k) {
        at::Tensor& gradient = step_->summed->heads[i][k].mutable_grad();
        const at::Tensor& earlier = earlier_[i][k];
        if (!earlier.defined()) {
          gradient = added[i][k];
        } else if (added[i][k].defined() && earlier.is_sparse() && !added[i][k].is_sparse()) {
          gradient = added[i][k] + earlier;
        } else {
          gradient = added[i][k].defined() ? earlier.add_(added[i][k]) : earlier;
        }
      }
    }
    finished_ = true;
  }

  at::Tensor weighted(std::size_t task, const at::Tensor& gradient) const {
    const Outcome& outcome = step_->pass.outcome;
    return gradient.defined() && outcome.weighed ? state_->engine->for_head(task, gradient, outcome) : gradient;
  }

  bool left_unweighted() const {
    for (const auto& head : step_->summed->heads) {
      for (const at::Tensor& parameter : head) {
        if (parameter.grad().defined()) {
          return true;
        }
      }
    }
    return false;
  }

  void put_back() {
    for (std::size_t i = 0; i < earlier_.size(); ++i) {
      for (std::size_t k = 0; k < earlier_[i].size(); ++k) {
        step_->summed->heads[i][k].mutable_grad() = earlier_[i][k];
      }
    }
  }

  std::shared_ptr<State> state_;
  std::shared_ptr<Step> step_;
  std::vector<std::vector<at::Tensor>> earlier_;
  std::shared_ptr<HeadGradients> inner_;  ///< of a calibration inside one of these heads
  bool finished_ = false;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
