// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/cpu/gram.hpp>
#include <fuller/cpu/norms.hpp>
#include <fuller/cpu/weighted_sum.hpp>

// The reductions of fuller/cpu on at::Tensor. Other devices than the CPU are served by ATen.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// `at::parallel_for` as the kernels' way to run their blocks: LibTorch's own threads, as many as `at::set_num_threads` says.
struct TorchParallelFor {
  template <class F>
  void operator()(std::int64_t begin, std::int64_t end, std::int64_t grain, const F& f) const {
    at::parallel_for(begin, end, grain, f);
  }
};

/// Calls f with a null pointer of the kernels' element type; false for a dtype they do not read.
template <class F>
bool with_element_type(at::ScalarType type, const F& f) {
  switch (type) {
    case at::kFloat:
      f(static_cast<const float*>(nullptr));
      return true;
    case at::kDouble:
      f(static_cast<const double*>(nullptr));
      return true;
    case at::kHalf:
      f(static_cast<const cpu::Half*>(nullptr));
      return true;
    case at::kBFloat16:
      f(static_cast<const cpu::BFloat16*>(nullptr));
      return true;
    default:
      return false;
  }
}

template <class T>
const T* elements(const at::Tensor& tensor, const T* /*type*/) {
  return static_cast<const T*>(tensor.data_ptr());
}

/// Whether the memory of `tensor` holds each of its elements once and nothing else.
inline bool readable_in_place(const at::Tensor& tensor) {
  return tensor.layout() == at::kStrided && tensor.is_non_overlapping_and_dense() && !tensor.is_neg() && !tensor._is_zerotensor();
}

/// Equal strides wherever a dimension has more than one element.
inline bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  for (std::int64_t d = 0; d < a.dim(); ++d) {
    if (a.size(d) > 1 && a.stride(d) != b.stride(d)) {
      return false;
    }
  }
  return true;
}

/// The tensors (of equal shapes) in one dense layout and dtype: themselves where they agree, otherwise copies in the layout of
/// the first dense one (row-major if none is) and, where dtypes differ, in `mixed`.
inline std::vector<at::Tensor> aligned(std::vector<at::Tensor> tensors, at::ScalarType mixed) {
  at::Tensor reference;
  at::ScalarType type = tensors.front().scalar_type();
  for (at::Tensor& tensor : tensors) {
    if (tensor.layout() != at::kStrided) {
      tensor = tensor.to_dense();
    }
    if (!reference.defined() && readable_in_place(tensor)) {
      reference = tensor;
    }
    type = tensor.scalar_type() == type ? type : mixed;
  }
  if (!reference.defined()) {
    reference = tensors.front().resolve_neg().contiguous();
  }
  for (at::Tensor& tensor : tensors) {
    if (tensor.scalar_type() != type || !readable_in_place(tensor) || !same_layout(tensor, reference)) {
      at::Tensor copy = at::empty_strided(reference.sizes(), reference.strides(), reference.options().dtype(type));
      tensor = copy.copy_(tensor);
    }
  }
  return tensors;
}

/// Adds the Gram matrix of tensors of one dtype and layout on the CPU to packed[i * count + j]; false for an unread dtype.
inline bool add_gram_on_cpu(const std::vector<at::Tensor>& tensors, double* gram) {
  return with_element_type(tensors.front().scalar_type(), [&](const auto* type) {
    std::vector<decltype(type)> arrays;
    for (const at::Tensor& tensor : tensors) {
      arrays.push_back(elements(tensor, type));
    }
    cpu::add_gram(arrays.data(), static_cast<int>(arrays.size()), tensors.front().numel(), gram, TorchParallelFor());
  });
}

/// The Gram matrix by ATen, in double, wherever the tensors are: [count, count] on their device.
inline at::Tensor gram_by_aten(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> rows;
  for (const at::Tensor& tensor : tensors) {
    const at::Tensor dense = tensor.layout() == at::kStrided ? tensor : tensor.to_dense();
    rows.push_back(dense.to(at::kDouble).reshape({-1}));
  }
  const at::Tensor matrix = at::stack(rows);
  return matrix.mm(matrix.t());
}

/// The squared norms of slices by ATen, in double, wherever the weight is: [slices] on its device.
inline at::Tensor slice_norms_by_aten(const at::Tensor& weight, at::IntArrayRef widths, std::int64_t dim) {
  std::vector<at::Tensor> norms;
  std::int64_t from = 0;
  for (const std::int64_t width : widths) {
    norms.push_back(weight.narrow(dim, from, width).to(at::kDouble).square().sum());
    from += width;
  }
  return at::stack(norms);
}

/// The weighted sum by ATen wherever the tensors are, half types summed in float.
inline at::Tensor weighted_sum_by_aten(const std::vector<at::Tensor>& tensors, const std::vector<double>& weights,
                                       at::ScalarType type) {
  const at::ScalarType wide = type == at::kHalf || type == at::kBFloat16 ? at::kFloat : type;
  at::Tensor sum = tensors.front().to(wide).mul(weights.front());
  for (std::size_t i = 1; i < tensors.size(); ++i) {
    sum.add_(tensors[i].to(wide), weights[i]);
  }
  return sum.to(type);
}

inline void check_gradients(const std::vector<std::vector<at::Tensor>>& gradients) {
  const std::vector<at::Tensor>* first = nullptr;
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (gradients[i].empty()) {
      continue;
    }
    first = first == nullptr ? &gradients[i] : first;
    if (gradients[i].size() != first->size()) {
      fail("task ", i, " has ", gradients[i].size(), " gradients where an earlier task has ", first->size(),
           "; give one per shared parameter, undefined where the task does not reach it");
    }
  }
  for (std::size_t k = 0; first != nullptr && k < first->size(); ++k) {
    at::Tensor seen;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (gradients[i].empty() || !gradients[i][k].defined()) {
        continue;
      }
      const at::Tensor& gradient = gradients[i][k];
      if (!at::isFloatingType(gradient.scalar_type())) {
        fail("gradient ", k, " of task ", i, " is of type ", gradient.dtype().name(),
             "; the Gram matrix takes real floating types");
      }
      seen = seen.defined() ? seen : gradient;
      if (gradient.sizes() != seen.sizes() || gradient.device() != seen.device()) {
        fail("gradient ", k, " of task ", i, " has the shape ", gradient.sizes(), " on ", gradient.device(),
             " where another task's has ", seen.sizes(), " on ", seen.device(), "; all must be gradients of one tensor");
      }
    }
  }
}

}  // namespace detail

/// The Gram matrix of the task gradients: gram[i * T + j] = sum_k <gradients[i][k], gradients[j][k]>, T x T, row-major,
/// symmetric.
///
/// gradients[i] is task i's list, one tensor for each shared parameter (or level of the representation), of the same shapes for
/// every task; an undefined tensor counts as zeros, an empty list is a task that is absent: its row and column are 0. Floating
/// dtypes, which may differ along the list.
///
/// On the CPU: cpu::add_gram on LibTorch's threads, |error| <= 1e-12 n_i n_j, deterministic for any number of threads. Tensors
/// that are dense and strided alike (channels_last, transposed, ...) are read in place; others, such as expanded ones, are
/// first copied to the layout of the first dense one, and to double where the tasks' dtypes differ. On other devices: ATen in
/// double, which takes 8 T n bytes, and one copy to the host, which waits for the device.
///
/// @throws Error when the lists differ in length, shape or device, or hold a dtype that is not floating.
inline void gram_matrix(const std::vector<std::vector<at::Tensor>>& gradients, double* gram) {
  const c10::NoGradGuard no_grad;
  detail::check_gradients(gradients);
  const std::size_t tasks = gradients.size();
  std::fill(gram, gram + tasks * tasks, 0.0);
  std::size_t length = 0;
  for (const auto& list : gradients) {
    length = std::max(length, list.size());
  }
  at::Tensor on_device;
  for (std::size_t k = 0; k < length; ++k) {
    std::vector<std::size_t> present;
    std::vector<at::Tensor> tensors;
    for (std::size_t i = 0; i < tasks; ++i) {
      if (!gradients[i].empty() && gradients[i][k].defined()) {
        present.push_back(i);
        tensors.push_back(gradients[i][k]);
      }
    }
    if (tensors.empty() || tensors.front().numel() == 0) {
      continue;
    }
    std::vector<double> part(present.size() * present.size(), 0.0);
    if (!tensors.front().device().is_cpu() || !detail::add_gram_on_cpu(detail::aligned(tensors, at::kDouble), part.data())) {
      const at::Tensor matrix = detail::gram_by_aten(tensors).to(at::kCPU).contiguous();
      std::copy_n(static_cast<const double*>(matrix.data_ptr()), part.size(), part.data());
    }
    for (std::size_t a = 0; a < present.size(); ++a) {
      for (std::size_t b = 0; b < present.size(); ++b) {
        gram[present[a] * tasks + present[b]] += part[a * present.size() + b];
      }
    }
  }
}

/// The squared norms of the slices of a weight's gradient along `dim`, one slice per branch of a fusion layer:
/// squared_norms[m] = sum of squares over the widths[m] channels that follow those of slices 0 .. m - 1.
///
/// `dim` is 1 for convolutions [O, C, k...] and linear layers [O, I]; the widths (channels, at least one of them) add up to its
/// size. On the CPU one pass over the weight in any dense layout (others are copied first), 1e-12 relative, deterministic; on
/// other devices ATen in double and one copy to the host, which waits.
///
/// @throws Error when the widths do not add up to the size of `dim`, or the dtype is not floating.
inline void slice_squared_norms(const at::Tensor& weight_gradient, at::IntArrayRef widths, std::int64_t dim,
                                double* squared_norms) {
  const c10::NoGradGuard no_grad;
  if (!weight_gradient.defined() || !at::isFloatingType(weight_gradient.scalar_type())) {
    detail::fail("the norms of channel slices need a gradient of a real floating type");
  }
  std::int64_t channels = 0;
  for (const std::int64_t width : widths) {
    if (width < 0) {
      detail::fail("a slice of a fusion layer's weight cannot be ", width, " channels wide");
    }
    channels += width;
  }
  if (dim < 0 || dim >= weight_gradient.dim() || widths.empty() || channels != weight_gradient.size(dim)) {
    detail::fail("slices of ", widths, " channels along dimension ", dim, " do not make up a weight of shape ",
                 weight_gradient.sizes());
  }
  std::fill(squared_norms, squared_norms + widths.size(), 0.0);
  if (weight_gradient.numel() == 0) {
    return;
  }
  bool done = false;
  if (weight_gradient.device().is_cpu()) {
    const at::Tensor weight = detail::aligned({weight_gradient}, weight_gradient.scalar_type()).front();
    // In a dense layout the stride of a dimension is the number of elements inside it; a single channel's stride says nothing.
    const std::int64_t inner = channels == 1 ? weight.numel() : weight.stride(dim);
    done = detail::with_element_type(weight.scalar_type(), [&](const auto* type) {
      cpu::add_slice_squared_norms(detail::elements(weight, type), weight.numel() / (channels * inner), widths.data(),
                                   static_cast<int>(widths.size()), inner, squared_norms, detail::TorchParallelFor());
    });
  }
  if (!done) {
    const at::Tensor host = detail::slice_norms_by_aten(weight_gradient, widths, dim).to(at::kCPU);
    std::copy_n(static_cast<const double*>(host.data_ptr()), widths.size(), squared_norms);
  }
}

/// sum_i weights[i] cotangents[i], a tensor of its own: it aliases no cotangent, and none is written.
///
/// Undefined cotangents are left out, and so are those of weight 0, by selection: they may hold NaN. A NaN weight propagates.
/// With no cotangent defined the result is undefined; with none of a weight other than 0 it is zeros like the first. It has the
/// cotangents' dtype and layout (those of the first dense one where they differ). `weights` is on the host, one per cotangent.
///
/// On the CPU: cpu::weighted_sum on LibTorch's threads, one pass, float accumulation for float and half types, double for
/// double. On other devices: ATen, T passes, no wait.
///
/// @throws Error when the defined cotangents differ in shape or device.
inline at::Tensor weighted_sum(at::TensorList cotangents, const double* weights) {
  const c10::NoGradGuard no_grad;
  at::Tensor first;
  std::vector<at::Tensor> tensors;
  std::vector<double> selected;
  for (std::size_t i = 0; i < cotangents.size(); ++i) {
    const at::Tensor& cotangent = cotangents[i];
    if (!cotangent.defined()) {
      continue;
    }
    first = first.defined() ? first : cotangent;
    if (cotangent.sizes() != first.sizes() || cotangent.device() != first.device()) {
      detail::fail("the cotangent of task ", i, " has the shape ", cotangent.sizes(), " on ", cotangent.device(),
                   " where another has ", first.sizes(), " on ", first.device());
    }
    if (weights[i] != 0.0) {
      tensors.push_back(cotangent);
      selected.push_back(weights[i]);
    }
  }
  if (tensors.empty()) {
    return first.defined() ? at::zeros_like(first) : at::Tensor();
  }
  if (first.device().is_cpu()) {
    at::Tensor out;
    const std::vector<at::Tensor> inputs = detail::aligned(tensors, first.scalar_type());
    const bool done = detail::with_element_type(inputs.front().scalar_type(), [&](const auto* type) {
      using Element = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
      std::vector<const Element*> arrays;
      for (const at::Tensor& input : inputs) {
        arrays.push_back(detail::elements(input, type));
      }
      out = at::empty_strided(inputs.front().sizes(), inputs.front().strides(), inputs.front().options());
      cpu::weighted_sum(arrays.data(), selected.data(), static_cast<int>(arrays.size()), out.numel(),
                        static_cast<Element*>(out.data_ptr()), detail::TorchParallelFor());
    });
    if (done) {
      return out;
    }
  }
  return detail::weighted_sum_by_aten(tensors, selected, first.scalar_type());
}

}  // namespace v0_1
}  // namespace fuller
