// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <fuller/backward/measure_tasks.hpp>
#include <fuller/backward/step.hpp>

namespace fuller::detail {

/// Copies numbers from a device (or to one); waits.
template <class T>
void copy_to_host(const at::Tensor& from, T* to, std::size_t count) {
  const at::Tensor host = from.to(at::kCPU).contiguous();
  if (count > 0) {
    std::memcpy(to, host.data_ptr(), count * sizeof(T));
  }
}
template <class T>
void copy_from_host(const T* from, std::size_t count, const at::Tensor& to) {
  if (count > 0) {
    at::Tensor host = at::empty({static_cast<std::int64_t>(count)}, to.options().device(at::kCPU));
    std::memcpy(host.data_ptr(), from, count * sizeof(T));
    to.view({-1}).narrow(0, 0, static_cast<std::int64_t>(count)).copy_(host);
  }
}

/// Takes what TasksOnDevice::packed() gives apart: state of the rule, weights of shared parameters and of heads, conditions, Gram
/// matrix, steps, epochs, loss scale.
inline void unpack_tasks(const double* next, State& state) {
  Outcome& last = state.last;
  Verdict& verdict = last.verdict;
  for (std::vector<double>* list : {&state.rule.state, &verdict.shared, &verdict.heads}) {
    std::copy_n(next, list->size(), list->begin());
    next += list->size();
  }
  for (Condition& condition : verdict.conditions) {
    condition = static_cast<Condition>(*next++);
  }
  std::copy_n(next, last.gram.size(), last.gram.begin());
  next += last.gram.size();
  state.step = static_cast<std::int64_t>(*next++);
  state.epoch = static_cast<std::int64_t>(*next++);
  last.loss_scale = std::abs(*next);
  last.device_heads = at::Tensor();
}

/// The losses as doubles of `slots`, one behind the other; 0 where a task is absent.
inline void gather_losses(const std::vector<at::Tensor>& losses, const at::Tensor& slots) {
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const at::Tensor slot = slots.narrow(0, static_cast<std::int64_t>(i), 1);
    if (losses[i].defined()) {
      slot.copy_(losses[i].reshape({1}));
    } else {
      slot.zero_();
    }
  }
}

/// Throws for the first failure among the conditions of step `failed`; for none where that is -1.
inline void expect_no_failure(const State& state, std::int64_t failed, const std::vector<Condition>& conditions) {
  for (std::size_t i = 0; failed >= 0 && i < conditions.size(); ++i) {
    if (is_failure(conditions[i])) {
      throw_failure(failed, state.tasks[i], conditions[i]);
    }
  }
}

}  // namespace fuller::detail
