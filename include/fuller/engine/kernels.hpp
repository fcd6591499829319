// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/cuda/kernel_table.hpp>

// The kernels of fuller/cuda on at::Tensor. With FULLER_CUDA_KERNELS, which fuller_add_cuda_kernels() defines, device_kernels()
// finds them, where LibTorch is built with CUDA; without, this header needs nothing of CUDA.
#if defined(FULLER_CUDA_KERNELS) && __has_include(<c10/cuda/impl/cuda_cmake_macros.h>)
#define FULLER_DEVICE_KERNELS 1
#include <c10/cuda/CUDAStream.h>
#endif

namespace fuller {
inline namespace v0_1 {

/// Kernels, and the stream in which they are launched. Owns neither.
struct DeviceKernels {
  const cuda::KernelTable* table = nullptr;
  void* stream = nullptr;
};

/// Gives the kernels to launch next, and their stream. It is called at each launch, since a backward runs in the stream of its
/// forward, whichever that was.
using KernelSource = std::function<DeviceKernels()>;

#if defined(FULLER_DEVICE_KERNELS)
/// The kernels linked into this program, in the current stream of the current device, which must be the tensors'.
/// @throws Error where fuller_add_cuda_kernels() was not called for this program or shared library.
__attribute__((visibility("hidden"))) inline DeviceKernels device_kernels() {
  if (cuda::linked_kernels() == nullptr) {
    detail::fail("the CUDA kernels are not linked into this library; call fuller_add_cuda_kernels() for it");
  }
  return {cuda::linked_kernels(), c10::cuda::getCurrentCUDAStream().stream()};
}
#endif

namespace detail {

/// The kernels' element type; false for a dtype they do not read.
inline bool element_of(at::ScalarType type, cuda::Element& element) {
  switch (type) {
    case at::kFloat:
      element = cuda::Element::float32;
      return true;
    case at::kDouble:
      element = cuda::Element::float64;
      return true;
    case at::kHalf:
      element = cuda::Element::float16;
      return true;
    case at::kBFloat16:
      element = cuda::Element::bfloat16;
      return true;
    default:
      return false;
  }
}

inline cuda::TensorView view_of(const at::Tensor& tensor) {
  return {tensor.data_ptr(), static_cast<int>(tensor.dim()), tensor.sizes().data(), tensor.strides().data()};
}

/// A strided tensor of `type` that a kernel can read, copied where it is not one.
inline at::Tensor readable(const at::Tensor& tensor, at::ScalarType type) {
  const at::Tensor strided = tensor.layout() == at::kStrided ? tensor.resolve_neg() : tensor.to_dense();
  return strided.scalar_type() == type ? strided : strided.to(type);
}

/// Ends with an exception what could not be launched.
inline void expect_launched(cuda::Outcome outcome, const char* what) {
  if (outcome == cuda::Outcome::failed) {
    fail("a kernel for ", what, " could not be launched: no device, a stream of another device, or an earlier error on it");
  }
}

/// Task gradients sorted by element type, as views; copies that were needed are kept alive.
class GradientViews {
 public:
  /// @throws Error for lists of different lengths or shapes, or a dtype that is not floating.
  explicit GradientViews(const std::vector<std::vector<at::Tensor>>& gradients) : tasks_(gradients.size()) {
    std::size_t length = 0;
    for (const auto& list : gradients) {
      length = std::max(length, list.size());
    }
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (!gradients[i].empty() && gradients[i].size() != length) {
        fail("task ", i, " has ", gradients[i].size(), " gradients where another has ", length);
      }
    }
    // Views point at sizes that belong to the tensors kept here: no tensor may move once there is a view of it.
    kept_.reserve(length * tasks_);
    for (std::size_t k = 0; k < length; ++k) {
      add(gradients, k);
    }
    for (int part = 0; part < 4; ++part) {
      if (!views_[part].empty()) {
        lists_.push_back({views_[part].data(), static_cast<int>(views_[part].size() / tasks_), static_cast<int>(tasks_),
                          static_cast<cuda::Element>(part)});
      }
    }
  }

  const std::vector<cuda::TensorLists>& lists() const { return lists_; }
  int tensors() const { return tensors_; }
  std::int64_t elements() const { return elements_; }

 private:
  void add(const std::vector<std::vector<at::Tensor>>& gradients, std::size_t k) {
    at::Tensor first;
    bool mixed = false;
    for (std::size_t i = 0; i < tasks_; ++i) {
      if (gradients[i].empty() || !gradients[i][k].defined()) {
        continue;
      }
      first = first.defined() ? first : gradients[i][k];
      mixed = mixed || gradients[i][k].scalar_type() != first.scalar_type();
      if (gradients[i][k].sizes() != first.sizes() || gradients[i][k].device() != first.device()) {
        fail("gradient ", k, " of task ", i, " has the shape ", gradients[i][k].sizes(), " on ", gradients[i][k].device(),
             " where another task's has ", first.sizes(), " on ", first.device());
      }
    }
    if (!first.defined()) {
      return;
    }
    const at::ScalarType type = mixed ? at::kDouble : first.scalar_type();
    cuda::Element element{};
    if (!element_of(type, element)) {
      fail("gradient ", k, " is of type ", first.dtype().name(), "; the Gram matrix takes real floating types");
    }
    auto& views = views_[static_cast<std::size_t>(element)];
    for (std::size_t i = 0; i < tasks_; ++i) {
      const bool here = !gradients[i].empty() && gradients[i][k].defined();
      if (here) {
        kept_.push_back(readable(gradients[i][k], type));
      }
      views.push_back(here ? view_of(kept_.back()) : cuda::TensorView());
    }
    ++tensors_;
    elements_ += first.numel();
  }

  std::size_t tasks_;
  std::vector<at::Tensor> kept_;
  std::vector<cuda::TensorView> views_[4];
  std::vector<cuda::TensorLists> lists_;
  int tensors_ = 0;
  std::int64_t elements_ = 0;
};

}  // namespace detail

/// sum_i weights[i] cotangents[i] with the weights on the device: [T] doubles. The result is a new tensor, laid out as the first
/// defined cotangent, and undefined if all cotangents are. Undefined cotangents and those of weight 0 are left out by selection;
/// a NaN weight propagates. Sums are float for float and half types, double for double. One launch, no wait, deterministic;
/// allocates the result.
/// @throws Error when the cotangents differ in shape or dtype
inline at::Tensor weighted_sum(const DeviceKernels& kernels, at::TensorList cotangents, const at::Tensor& weights) {
  const c10::NoGradGuard no_grad;
  at::Tensor first;
  std::vector<at::Tensor> tensors;
  for (const at::Tensor& cotangent : cotangents) {
    if (cotangent.defined() && !first.defined()) {
      first = detail::readable(cotangent, cotangent.scalar_type());
    }
  }
  if (!first.defined()) {
    return {};
  }
  cuda::SumRequest request;
  if (!detail::element_of(first.scalar_type(), request.tensors.element)) {
    detail::fail("a cotangent is of type ", first.dtype().name(), "; weighted sums take real floating types");
  }
  const bool dense = first.is_non_overlapping_and_dense();
  const at::Tensor out = dense ? at::empty_strided(first.sizes(), first.strides(), first.options()) : at::zeros_like(first);
  for (const at::Tensor& cotangent : cotangents) {
    if (cotangent.defined() && (cotangent.sizes() != first.sizes() || cotangent.scalar_type() != first.scalar_type())) {
      detail::fail("a cotangent has the shape ", cotangent.sizes(), " of ", cotangent.dtype().name(), " where another has ",
                   first.sizes(), " of ", first.dtype().name());
    }
    tensors.push_back(cotangent.defined() ? detail::readable(cotangent, first.scalar_type()) : at::Tensor());
  }
  tensors.push_back(out);
  const auto launch = [&] {
    std::vector<cuda::TensorView> views;
    for (const at::Tensor& tensor : tensors) {
      views.push_back(tensor.defined() ? detail::view_of(tensor) : cuda::TensorView());
    }
    request.tensors.views = views.data();
    request.tensors.tensors = 1;
    request.tensors.count = static_cast<int>(views.size());
    request.weights = weights.data_ptr<double>();
    return kernels.table->submit(request, kernels.stream);
  };
  cuda::Outcome outcome = launch();
  if (outcome == cuda::Outcome::too_many_dims) {
    for (at::Tensor& tensor : tensors) {
      if (tensor.defined() && !tensor.is_same(out)) {
        tensor = at::empty_strided(out.sizes(), out.strides(), out.options()).copy_(tensor);
      }
    }
    outcome = launch();
  }
  detail::expect_launched(outcome, "a weighted sum");
  return out;
}

namespace detail {

/// out = scale in, of two dense tensors of one layout.
inline void scale(const DeviceKernels& kernels, const at::Tensor& in, const at::Tensor& out, const double* scale) {
  cuda::ScaleRequest request;
  if (!element_of(in.scalar_type(), request.element) || !in.is_non_overlapping_and_dense()) {
    fail("a tensor of shape ", in.sizes(), " of ", in.dtype().name(),
         " cannot be scaled in place; it must be dense, of a real floating type");
  }
  const std::int64_t width = 1;
  request.in = in.data_ptr();
  request.out = out.data_ptr();
  request.outer = in.numel();
  request.widths = &width;
  request.slices = 1;
  request.scales = scale;
  expect_launched(kernels.table->submit(request, kernels.stream), "a scaling");
}

}  // namespace detail

/// Multiplies a dense tensor in place with one number on the device: by selection, 0 clears it, NaN or not, and 1 leaves every
/// bit. One launch, no wait, no allocation.
/// @throws Error for a tensor that is not dense, or not of a real floating type.
inline void scale_in_place(const DeviceKernels& kernels, const at::Tensor& tensor, const double* scale) {
  detail::scale(kernels, tensor, tensor, scale);
}

/// The same into a new tensor; `tensor` may have any layout. One launch, after a copy where it is not dense.
/// @throws Error for a tensor that is not of a real floating type
inline at::Tensor scaled(const DeviceKernels& kernels, const at::Tensor& tensor, const double* scale) {
  const c10::NoGradGuard no_grad;
  at::Tensor in = detail::readable(tensor, tensor.scalar_type());
  in = in.is_non_overlapping_and_dense() ? in : in.contiguous();
  const at::Tensor out = at::empty_strided(in.sizes(), in.strides(), in.options());
  detail::scale(kernels, in, out, scale);
  return out;
}

}  // namespace v0_1
}  // namespace fuller
