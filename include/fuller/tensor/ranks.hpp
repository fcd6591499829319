// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

namespace fuller {
inline namespace v0_1 {

/// What lets the ranks of a data-parallel trainer find the weights of the one big batch, the same on all of them.
///
/// Task gradients (not their Gram matrix), losses and fusion gradients are averaged over the ranks before a rule sees them; at
/// Surface::representation, where ranks hold different samples, the Gram matrices add up. The trainer averages `.grad` as ever.
/// Every rank must take every step with a task at least, since every rank has to take part in every average; at
/// Surface::all_shared the first step with all of them, which tells the parameters to compare (unless those are named).
struct Ranks {
  /// Replaces each tensor by its mean over all ranks, in place; called inside backward, by every rank in the same order with
  /// the same shapes (a group of its own keeps it apart from the trainer's reductions). Not given: one rank.
  std::function<void(std::vector<at::Tensor>& tensors)> average{};
  /// How many ranks there are: more than one with average(), else 1.
  int count = 1;
};

namespace detail {

/// Replaces `numbers` by their mean over all ranks.
inline void average(const Ranks& ranks, std::vector<double>& numbers) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> tensors{at::empty({static_cast<std::int64_t>(numbers.size())}, at::kDouble)};
  double* values = tensors.front().data_ptr<double>();
  std::copy(numbers.begin(), numbers.end(), values);
  ranks.average(tensors);
  std::copy(values, values + numbers.size(), numbers.begin());
}

/// Makes present what is present on any rank.
inline void agree_on_presence(const Ranks& ranks, std::vector<std::uint8_t>& present) {
  std::vector<double> share(present.begin(), present.end());
  average(ranks, share);
  for (std::size_t i = 0; i < present.size(); ++i) {
    present[i] = share[i] > 0 ? 1 : 0;
  }
}

/// Replaces each list by its mean over all ranks; an undefined tensor counts as zeros of the shape that `like` has in its place.
///
/// Works on copies: a gradient may share its memory with others.
inline void average_lists(const Ranks& ranks, const std::vector<at::Tensor>& like, std::vector<std::vector<at::Tensor>>& lists) {
  const at::NoGradGuard no_grad;
  std::vector<at::Tensor> all;
  for (auto& list : lists) {
    list.resize(like.size());
    for (std::size_t k = 0; k < like.size(); ++k) {
      all.push_back(list[k].defined() ? list[k].detach().clone() : at::zeros_like(like[k]).detach());
    }
  }
  ranks.average(all);
  auto next = all.begin();
  for (auto& list : lists) {
    for (at::Tensor& tensor : list) {
      tensor = *next++;
    }
  }
}

/// The mean loss of each task over the ranks that have it.
inline void average_losses(const Ranks& ranks, const std::vector<bool>& given, std::vector<double>& losses) {
  std::vector<double> sums_and_counts(losses);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    sums_and_counts[i] = given[i] ? losses[i] : 0.0;
    sums_and_counts.push_back(given[i] ? 1.0 : 0.0);
  }
  average(ranks, sums_and_counts);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const double count = sums_and_counts[losses.size() + i];
    losses[i] = count > 0 ? sums_and_counts[i] / count : 0.0;
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
