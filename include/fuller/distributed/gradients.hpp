// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <fuller/core/error.hpp>
#include <fuller/tensor/ranks.hpp>

namespace fuller {
inline namespace v0_1 {

/// How average_gradients() sends gradients.
struct BucketOptions {
  /// Gradients are sent together in buckets of up to this many bytes, >= 1. Larger buckets mean fewer reductions; with smaller
  /// ones the first is under way sooner, while the next is filled.
  std::int64_t bytes = 25 * 1024 * 1024;
};

namespace detail {

/// Which of the parameters have a gradient on any rank, by a reduction of one number for each parameter.
/// @throws Error for a gradient that is not dense
template <class Average>
std::vector<bool> with_gradients(const std::vector<at::Tensor>& parameters, const Average& average) {
  std::vector<at::Tensor> here{at::zeros({static_cast<std::int64_t>(parameters.size())}, at::kFloat)};
  float* const flags = here.front().data_ptr<float>();
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    const at::Tensor& gradient = parameters[k].grad();
    if (gradient.defined() && gradient.layout() != at::kStrided) {
      fail("average_gradients() got a parameter of shape ", parameters[k].sizes(),
           " with a gradient that is not dense; average that ", "one by its values and indices, and leave it out here");
    }
    flags[k] = gradient.defined() ? 1.0F : 0.0F;
  }
  average(here);
  const at::Tensor anywhere = here.front().to(at::kCPU);
  const float* const shares = anywhere.data_ptr<float>();
  std::vector<bool> with(parameters.size());
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    with[k] = shares[k] > 0;
  }
  return with;
}

/// Parameters whose gradients are sent together: of one type and device, up to so many bytes.
inline std::vector<std::vector<at::Tensor>> buckets_of(const std::vector<at::Tensor>& parameters, std::int64_t bytes) {
  std::vector<std::vector<at::Tensor>> buckets;
  std::vector<std::int64_t> filled;
  std::vector<std::size_t> open;  // one for each type and device
  for (const at::Tensor& parameter : parameters) {
    const auto size = static_cast<std::int64_t>(parameter.nbytes());
    const auto fits = [&](std::size_t b) {
      const at::Tensor& first = buckets[b].front();
      return first.scalar_type() == parameter.scalar_type() && first.device() == parameter.device();
    };
    const auto place = std::find_if(open.begin(), open.end(), fits);
    if (place != open.end() && filled[*place] + size <= bytes) {
      buckets[*place].push_back(parameter);
      filled[*place] += size;
      continue;
    }
    if (place != open.end()) {
      open.erase(place);
    }
    open.push_back(buckets.size());
    buckets.push_back({parameter});
    filled.push_back(size);
  }
  return buckets;
}

/// The gradients of a bucket's parameters, undefined where there is none.
inline std::vector<at::Tensor> gradients_in(const std::vector<at::Tensor>& bucket) {
  std::vector<at::Tensor> gradients;
  for (const at::Tensor& parameter : bucket) {
    gradients.push_back(parameter.grad());
  }
  return gradients;
}

/// Writes a bucket's means into `.grad`, in place where it is defined.
inline void put_gradients(const std::vector<at::Tensor>& bucket, const FlatLists& layout, const std::vector<at::Tensor>& flat) {
  for (std::size_t k = 0; k < bucket.size(); ++k) {
    at::Tensor& gradient = bucket[k].mutable_grad();
    if (!gradient.defined()) {
      gradient = at::zeros_like(bucket[k]);
    }
    gradient.copy_(layout.piece(flat, 0, k).view(gradient.sizes()));
  }
}

inline std::vector<at::Tensor> those(const std::vector<at::Tensor>& all, const std::vector<bool>& which) {
  std::vector<at::Tensor> some;
  for (std::size_t k = 0; k < all.size(); ++k) {
    if (which[k]) {
      some.push_back(all[k]);
    }
  }
  return some;
}

inline void expect_bucket_size(const BucketOptions& options) {
  if (options.bytes < 1) {
    fail("BucketOptions::bytes is ", options.bytes, "; a positive number is needed");
  }
}

}  // namespace detail

/// Replaces the gradients of all parameters by their means over the ranks of a group. Call it between backward() and the
/// optimiser's step, on every rank in each step (also on one that idles), with the same parameters in the same order.
///
/// A parameter without a gradient counts as zeros if another rank has one, and stays without a gradient if none has. Halves are
/// averaged in float. Allocates flat buffers, as large as all gradients together, and waits for the group and, on a device, for
/// one number for each parameter.
/// @param group       a pointer to whatever has allreduce(tensors) and getSize(); the trainer's, not the calibration's
/// @param parameters  on any devices, of any floating-point types
/// @throws Error for a gradient that is not dense, and for BucketOptions::bytes < 1; and what the group throws
template <class Group>
void average_gradients(const Group& group, const std::vector<at::Tensor>& parameters, const BucketOptions& options = {}) {
  detail::expect_bucket_size(options);
  const at::NoGradGuard no_grad;
  const int size = group->getSize();
  const at::Device device = parameters.empty() ? at::Device(at::kCPU) : parameters.front().device();
  const auto with = detail::with_gradients(parameters, [&](std::vector<at::Tensor>& tensors) {
    tensors.front() = tensors.front().to(device);
    group->allreduce(tensors)->wait();
  });
  struct Travelling {
    std::vector<at::Tensor> parameters;
    detail::FlatLists layout;
    std::vector<std::vector<at::Tensor>> flat;  // group's own lists: it may keep references to them until it is through
    std::vector<decltype(group->allreduce(std::declval<std::vector<at::Tensor>&>()))> works;
  };
  std::vector<Travelling> under_way;
  const auto buckets = detail::buckets_of(detail::those(parameters, with), options.bytes);
  under_way.reserve(buckets.size());
  for (const auto& bucket : buckets) {
    under_way.push_back({bucket, detail::FlatLists(bucket, 1), {}, {}});
    Travelling& one = under_way.back();
    for (at::Tensor& buffer : one.layout.packed({detail::gradients_in(bucket)})) {
      one.flat.push_back({std::move(buffer)});
    }
    for (std::vector<at::Tensor>& buffer : one.flat) {
      one.works.push_back(group->allreduce(buffer));
    }
  }
  for (Travelling& one : under_way) {
    std::vector<at::Tensor> means;
    for (std::size_t b = 0; b < one.works.size(); ++b) {
      one.works[b]->wait();
      means.push_back(one.flat[b].front().div_(size));
    }
    detail::put_gradients(one.parameters, one.layout, means);
  }
}

/// The same by Ranks::average, which may use a store, or be a function of the trainer. Does nothing where there is a single rank.
inline void average_gradients(const Ranks& ranks, const std::vector<at::Tensor>& parameters, const BucketOptions& options = {}) {
  detail::expect_bucket_size(options);
  if (!ranks.average) {
    return;
  }
  const at::NoGradGuard no_grad;
  const auto with = detail::with_gradients(parameters, ranks.average);
  for (const auto& bucket : detail::buckets_of(detail::those(parameters, with), options.bytes)) {
    const detail::FlatLists layout(bucket, 1);
    std::vector<at::Tensor> flat = layout.packed({detail::gradients_in(bucket)});
    ranks.average(flat);
    detail::put_gradients(bucket, layout, flat);
  }
}

}  // namespace v0_1
}  // namespace fuller
