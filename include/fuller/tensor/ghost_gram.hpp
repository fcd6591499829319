// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/stack.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/cpu/ghost.hpp>
#include <fuller/tensor/reductions.hpp>

namespace fuller {
inline namespace v0_1 {

namespace detail {

/// <K dy_i, dy_j> with K = x x^T by ATen, in double, wherever the tensors are: [T, T] on their device.
inline at::Tensor ghost_by_aten(const at::Tensor& x, const std::vector<at::Tensor>& dy, bool with_bias) {
  const at::Tensor wide = x.to(at::kDouble);
  const at::Tensor k = wide.mm(wide.t()).add(with_bias ? 1.0 : 0.0);
  std::vector<at::Tensor> left;
  std::vector<at::Tensor> right;
  for (const at::Tensor& gradient : dy) {
    const at::Tensor d = gradient.to(at::kDouble);
    left.push_back(k.mm(d).reshape({-1}));
    right.push_back(d.reshape({-1}));
  }
  return at::stack(left).mm(at::stack(right).t());
}

/// Whether an entry of a weight gradient may be too large for the weights' type, the input's, and so be infinite once it is
/// formed; by the diagonal of `gram`, T x T.
inline bool may_overflow(const at::Tensor& x, std::size_t tasks, const double* gram) {
  const double largest = x.scalar_type() == at::kHalf ? 65504.0 : static_cast<double>(std::numeric_limits<float>::max());
  for (std::size_t i = 0; i < tasks && x.scalar_type() != at::kDouble; ++i) {
    if (gram[i * tasks + i] >= largest * largest) {
      return true;
    }
  }
  return false;
}

/// Whether samples in double cancel so far that the diagonal of `gram`, T x T from these rows, may be off by more than 2^-32 of
/// its entries, by the bound of cpu::add_ghost_gram. Gradients formed from floats are never closer than this is.
inline bool doubles_cancel(const at::Tensor& x, const std::vector<at::Tensor>& dy, bool with_bias, const double* gram) {
  if (x.scalar_type() != at::kDouble && dy.front().scalar_type() != at::kDouble) {
    return false;
  }
  const auto of_rows = [](const at::Tensor& rows) { return rows.to(at::kDouble).square().sum(1); };
  const at::Tensor lengths = of_rows(x).add(with_bias ? 1.0 : 0.0);
  const double error = std::ldexp(static_cast<double>(x.size(0)) + static_cast<double>(x.size(1)) / 2048 + 64, -52);
  for (std::size_t i = 0; i < dy.size(); ++i) {
    const double together = lengths.mul(of_rows(dy[i])).sqrt().sum().item<double>();
    if (error * together * together > std::ldexp(gram[i * dy.size() + i], -32)) {
      return true;
    }
  }
  return false;
}

/// The same from the gradients themselves, formed in double from rows of x and dy_i, and rounded to the input's type.
inline void gram_of_formed(const at::Tensor& x, const std::vector<at::Tensor>& dy, bool with_bias, double* gram) {
  const at::Tensor wide = x.to(at::kDouble);
  std::vector<std::vector<at::Tensor>> formed;
  for (const at::Tensor& gradient : dy) {
    const at::Tensor d = gradient.to(at::kDouble);
    formed.push_back({d.t().mm(wide).to(x.scalar_type())});
    if (with_bias) {
      formed.back().push_back(d.sum(0).to(x.scalar_type()));
    }
  }
  gram_matrix(formed, gram);
}

}  // namespace detail

/// Whether ghost_gram_matrix takes less time than forming the `tasks` weight gradients [out, in] from N rows and comparing them.
///
/// N^2 (in / 2 + tasks out) multiply-adds in double against N in out tasks in float by a good BLAS, which does two of them in
/// the time of one in double: the smaller count wins.
inline bool ghost_pays(std::int64_t N, std::int64_t in, std::int64_t out, int tasks) {
  const double rows = static_cast<double>(N);
  const double ghost = rows * (0.5 * static_cast<double>(in) + static_cast<double>(tasks) * static_cast<double>(out));
  const double formed = static_cast<double>(tasks) * static_cast<double>(in) * static_cast<double>(out);
  return N > 0 && tasks > 0 && 2.0 * ghost < formed;
}

/// The Gram matrix of the weight gradients G_i = dy_i^T x of a linear layer y = x W^T + b, without the gradients:
/// gram[i * T + j] = sum_nm <dy_i[n], dy_j[m]> (<x[n], x[m]> + 1 with_bias), T x T, row-major.
///
/// x is the layer's input [N, I] (or [..., I]) and dy_i the gradient of task i's loss in its output [N, O] (or [..., O]); an
/// undefined dy_i is an absent task, whose row and column are 0. Floating dtypes; x and the dy_i may differ. with_bias counts
/// the bias's gradient to G_i. The products are double throughout, by kernels of our own rather than a double BLAS (Debian's
/// reference BLAS is 15 times slower); error bound: cpu::add_ghost_gram. Where samples of doubles cancel so far that this bound
/// exceeds 2^-32 of an |G_i|^2, and where a G_i may be infinite in the input's type, the gradients are formed after all.
/// On the CPU: LibTorch's threads, deterministic. On other devices: ATen in double and one copy to the host, which waits.
///
/// @throws Error when rows or outputs do not match.
inline void ghost_gram_matrix(const at::Tensor& x, const std::vector<at::Tensor>& dy, bool with_bias, double* gram) {
  const c10::NoGradGuard no_grad;
  const std::size_t tasks = dy.size();
  std::fill(gram, gram + tasks * tasks, 0.0);
  if (!x.defined() || x.dim() < 1 || !at::isFloatingType(x.scalar_type())) {
    detail::fail("the Gram matrix of a linear layer needs its input, [N, I] of a real floating type");
  }
  const at::Tensor input = x.resolve_neg().reshape({-1, x.size(-1)}).contiguous();
  std::vector<std::size_t> present;
  std::vector<at::Tensor> gradients;
  for (std::size_t i = 0; i < tasks; ++i) {
    if (!dy[i].defined()) {
      continue;
    }
    const bool is_rows = dy[i].dim() >= 1 && at::isFloatingType(dy[i].scalar_type()) && dy[i].device() == x.device();
    const at::Tensor rows = is_rows ? dy[i].resolve_neg().reshape({-1, dy[i].size(-1)}).contiguous() : at::Tensor();
    if (!is_rows || rows.size(0) != input.size(0) || (!gradients.empty() && rows.size(1) != gradients.front().size(1))) {
      detail::fail("the output gradient of task ", i, " has the shape ", dy[i].sizes(), " on ", dy[i].device(),
                   ", which does not match an input of shape ", x.sizes(), " on ", x.device(), " and the other tasks");
    }
    present.push_back(i);
    gradients.push_back(rows);
  }
  if (gradients.empty() || input.size(0) == 0 || gradients.front().size(1) == 0) {
    return;
  }
  std::vector<double> part(present.size() * present.size(), 0.0);
  bool done = false;
  if (x.device().is_cpu()) {
    gradients = detail::aligned(gradients, at::kDouble);
    done = detail::with_element_type(input.scalar_type(),
                                     [&](const auto* of_x) {
                                       done = detail::with_element_type(gradients.front().scalar_type(), [&](const auto* of_dy) {
                                         std::vector<decltype(of_dy)> arrays;
                                         for (const at::Tensor& gradient : gradients) {
                                           arrays.push_back(detail::elements(gradient, of_dy));
                                         }
                                         cpu::add_ghost_gram(detail::elements(input, of_x), input.size(0), input.size(1),
                                                             arrays.data(), static_cast<int>(arrays.size()),
                                                             gradients.front().size(1), with_bias, part.data(),
                                                             detail::TorchParallelFor());
                                       });
                                     }) &&
           done;
  }
  if (!done) {
    const at::Tensor matrix = detail::ghost_by_aten(input, gradients, with_bias).to(at::kCPU).contiguous();
    std::copy_n(static_cast<const double*>(matrix.data_ptr()), part.size(), part.data());
  }
  if (detail::may_overflow(input, gradients.size(), part.data()) ||
      detail::doubles_cancel(input, gradients, with_bias, part.data())) {
    detail::gram_of_formed(input, gradients, with_bias, part.data());
  }
  for (std::size_t a = 0; a < present.size(); ++a) {
    for (std::size_t b = 0; b < present.size(); ++b) {
      gram[present[a] * tasks + present[b]] = part[a * present.size() + b];
    }
  }
}

}  // namespace v0_1
}  // namespace fuller
