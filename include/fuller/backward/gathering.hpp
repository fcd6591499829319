// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>

#include <fuller/backward/noted_parameter.hpp>
#include <fuller/backward/step.hpp>
#include <fuller/core/error.hpp>
#include <fuller/diagnostics.hpp>
#include <fuller/engine/task_engine.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What the micro-batches have brought one parameter: each task's gradient, summed.
struct GatheredGradient {
  at::Tensor parameter;
  std::vector<at::Tensor> of_task;  ///< T; undefined where a task has sent nothing
  bool shared = false;
  std::size_t head_of = 0;    ///< the task that alone reaches it, where it is not shared
  NotedParameter noted;       ///< as the first micro-batch saw it
  bool of_two_heads = false;  ///< in different micro-batches
};

/// What the micro-batches of one step have brought so far.
class Gathered {
 public:
  std::vector<GatheredGradient> all;
  std::vector<at::Tensor> compared;  ///< in the order in which the micro-batches named or found them
  bool named = false;                ///< whether the user named those
  TaskTensors cotangents;            ///< of z, T lists, where those are compared: one micro-batch's after the other's
  std::vector<std::uint8_t> present;
  std::vector<at::Tensor> losses;  ///< T sums, each loss times its share; where the rule reads them
  std::vector<at::Tensor> shares;  ///< T
  at::Tensor scale;                ///< the sum of what arrived at the loss sums
  Route route = Route::none;
  std::shared_ptr<const Seen> seen;
  std::int64_t passes = 0;

  /// A parameter that task i's loss reaches: as one that is shared, or as one of its head. A second head makes it shared.
  /// @return its place in `all`
  std::size_t place_of(const at::Tensor& parameter, std::size_t i, bool shared, bool values, std::size_t tasks) {
    const auto [place, is_new] = places_.try_emplace(parameter.unsafeGetTensorImpl(), all.size());
    if (is_new) {
      all.push_back({parameter, std::vector<at::Tensor>(tasks), shared, i, NotedParameter(parameter, values)});
    }
    GatheredGradient& entry = all[place->second];
    entry.of_two_heads = entry.of_two_heads || (!entry.shared && !shared && entry.head_of != i);
    entry.shared = entry.shared || shared || entry.of_two_heads;
    return place->second;
  }

  const GatheredGradient* find(const at::Tensor& parameter) const {
    const auto place = places_.find(parameter.unsafeGetTensorImpl());
    return place == places_.end() ? nullptr : &all[place->second];
  }

  void compare(const std::vector<at::Tensor>& parameters) {
    for (const at::Tensor& parameter : parameters) {
      if (is_compared_.insert(parameter.unsafeGetTensorImpl()).second) {
        compared.push_back(parameter);
      }
    }
  }

  /// Bytes of what is kept.
  std::int64_t bytes() const {
    std::int64_t sum = 0;
    const auto count = [&](const std::vector<at::Tensor>& list) {
      for (const at::Tensor& tensor : list) {
        sum += tensor.defined() ? static_cast<std::int64_t>(tensor.nbytes()) : 0;
      }
    };
    for (const GatheredGradient& entry : all) {
      count(entry.of_task);
    }
    for (const auto& list : cotangents) {
      count(list);
    }
    return sum;
  }

 private:
  std::unordered_map<const void*, std::size_t> places_;
  std::unordered_set<const void*> is_compared_;
};

/// The step that is made of so many backwards, each of one micro-batch: Calibration::accumulate().
struct Gathering {
  std::int64_t count = 1;  ///< micro-batches to a step
  std::int64_t done = 0;   ///< of the step that has begun
  std::int64_t plain = 0;  ///< micro-batches in a row that shared nothing: each was a plain sum
  Gathered so_far;

  void begin_anew() {
    done = 0;
    plain = 0;
    so_far = Gathered();
  }

  /// Lets go of a step that has begun, and says so.
  void drop(const char* why) {
    const std::int64_t lost = std::exchange(done, 0);
    begin_anew();
    if (lost > 0) {
      TORCH_WARN("fuller: ", why, ", so the accumulation of ", count, " micro-batches starts over: the gradients of ", lost,
                 lost == 1 ? " that was" : " that were", " through are dropped, and no parameter has got them");
    }
  }

  /// @throws Error in the middle of a step, for what has to wait until its end.
  void expect_complete(const char* what) const {
    if (done > 0) {
      fail(what, " in the middle of an accumulation: ", done, " of ", count,
           " micro-batches are through, whose gradients wait for the last; go on to the last backward() first, or call ",
           "accumulate(", count, "), which drops them and begins anew");
    }
  }

  [[noreturn]] void fail_as_unlike() const {
    fail("in one of the ", count,
         " micro-batches of a step nothing that the losses share is trained, and in another something is, ",
         "so they have no weights in common; freeze or unfreeze between steps alone, and give the first micro-batch every task");
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
