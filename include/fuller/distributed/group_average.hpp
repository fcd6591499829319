// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <fuller/core/error.hpp>
#include <fuller/tensor/ranks.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Ranks of this rank and size, with this average(); of a single rank, none.
template <class Average>
Ranks ranks_by(Average average, int rank, int size) {
  Ranks ranks;
  ranks.count = size;
  ranks.rank = size > 1 ? rank : -1;
  if (size > 1) {
    ranks.average = std::move(average);
  }
  return ranks;
}

/// Means over the ranks of a process group.
template <class Group>
class GroupAverage {
 public:
  GroupAverage(Group group, int size, std::optional<at::Device> device)
      : group_(std::move(group)), size_(size), device_(device) {}

  void operator()(std::vector<at::Tensor>& tensors) const {
    const at::NoGradGuard no_grad;
    if (tensors.size() == 1 && goes_as_it_is(tensors.front())) {
      reduce(tensors.front());
      return;
    }
    const FlatLists layout(tensors, 1);
    std::vector<at::Tensor> flat = layout.packed({tensors});
    for (at::Tensor& buffer : flat) {
      if (device_ && buffer.device() != *device_) {
        at::Tensor there = buffer.to(*device_);
        reduce(there);
        buffer.copy_(there);
      } else {
        reduce(buffer);
      }
    }
    for (std::size_t k = 0; k < tensors.size(); ++k) {
      tensors[k].copy_(layout.piece(flat, 0, k).view(tensors[k].sizes()));
    }
  }

  /// The reductions begun: what is returned waits for them.
  std::function<void()> begin(std::vector<at::Tensor>& tensors) const {
    if (!std::all_of(tensors.begin(), tensors.end(), [&](const at::Tensor& tensor) { return goes_as_it_is(tensor); })) {
      (*this)(tensors);
      return [] {};
    }
    const at::NoGradGuard no_grad;
    auto works = std::make_shared<std::vector<Work>>();
    for (const at::Tensor& tensor : tensors) {
      works->push_back(begun(tensor));
    }
    return [works, tensors, size = size_] {
      for (std::size_t k = 0; k < tensors.size(); ++k) {
        (*works)[k]->wait();
        at::Tensor(tensors[k]).div_(size);
      }
    };
  }

 private:
  using Work = decltype(std::declval<Group&>()->allreduce(std::declval<std::vector<at::Tensor>&>()));

  bool goes_as_it_is(const at::Tensor& tensor) const {
    return tensor.layout() == at::kStrided && tensor.is_contiguous() &&
           travelling(tensor.scalar_type()) == tensor.scalar_type() && (!device_ || tensor.device() == *device_);
  }

  /// A sum and a division: a mean is an operation of NCCL's alone. One tensor at a time, since Gloo takes no more.
  void reduce(at::Tensor& tensor) const {
    begun(tensor)->wait();
    tensor.div_(size_);
  }
  Work begun(const at::Tensor& tensor) const {
    std::vector<at::Tensor> one{tensor};
    return group_->allreduce(one);
  }

  Group group_;
  int size_;
  std::optional<at::Device> device_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
