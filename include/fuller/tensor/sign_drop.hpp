// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/core/Tensor.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <fuller/core/error.hpp>
#include <fuller/core/sign_drop.hpp>
#include <fuller/cpu/sign_drop.hpp>
#include <fuller/tensor/reductions.hpp>

// Gradients of tasks made one element by element, on at::Tensor.

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Philox of core/random.hpp by ATen, whose integers have 64 bits and a sign: no product here has more than 49.
class PhiloxByATen {
 public:
  /// The first three words are one number each, or as many as the last.
  PhiloxByATen(at::Tensor word_0, at::Tensor word_1, at::Tensor word_2, at::Tensor word_3)
      : words_{std::move(word_0), std::move(word_1), std::move(word_2), std::move(word_3)} {}

  /// Ten rounds under the key.
  void encrypt(std::uint64_t key) {
    auto key_0 = static_cast<std::uint32_t>(key);
    auto key_1 = static_cast<std::uint32_t>(key >> 32);
    for (int round = 0; round < 10; ++round) {
      const Product of_0 = product(words_[0], 0xD2511F53u);
      const Product of_2 = product(words_[2], 0xCD9E8D57u);
      words_[0] = of_2.high.bitwise_xor(words_[1]).bitwise_xor(std::int64_t{key_0});
      words_[2] = of_0.high.bitwise_xor(words_[3]).bitwise_xor(std::int64_t{key_1});
      words_[1] = of_2.low;
      words_[3] = of_0.low;
      key_0 += 0x9E3779B9u;
      key_1 += 0xBB67AE85u;
    }
  }

  const at::Tensor& word(std::size_t k) const { return words_[k]; }

 private:
  struct Product {
    at::Tensor high;
    at::Tensor low;
  };

  /// The two halves of a product of words of 32 bits.
  static Product product(const at::Tensor& word, std::uint32_t by) {
    constexpr std::int64_t below_16 = 0xFFFF;
    const at::Tensor lower = word.mul(std::int64_t{by & 0xFFFFu});
    const at::Tensor upper = word.mul(std::int64_t{by >> 16}).add_(lower.bitwise_right_shift(16));
    return {upper.bitwise_right_shift(16),
            upper.bitwise_and(below_16).mul_(std::int64_t{1} << 16).add_(lower.bitwise_and(below_16))};
  }

  at::Tensor words_[4];
};

/// ElementDraws of n elements by ATen, wherever `step` is, one number: [n] doubles there.
inline at::Tensor draws_by_aten(std::int64_t n, std::uint64_t seed, const at::Tensor& step, std::uint32_t sequence) {
  const at::TensorOptions whole = step.options().dtype(at::kLong);
  const at::Tensor steps = step.to(at::kLong).reshape({1});
  PhiloxByATen words(steps.bitwise_and(std::int64_t{0xFFFFFFFF}), steps.bitwise_right_shift(32),
                     at::full({1}, static_cast<std::int64_t>(sequence), whole), at::arange((n + 3) / 4, whole));
  words.encrypt(seed);
  const std::vector<at::Tensor> all{words.word(0), words.word(1), words.word(2), words.word(3)};
  return at::stack(all, 1).reshape({-1}).narrow(0, 0, n).to(at::kDouble).add_(0.5).mul_(0x1p-32);
}

/// of_drawn_sign() by ATen of tensors in double, element by element.
inline at::Tensor of_drawn_sign_by_aten(const std::vector<at::Tensor>& v, const std::vector<double>& leaks,
                                        const at::Tensor& uniform) {
  at::Tensor sum = at::zeros_like(v.front());
  at::Tensor size = at::zeros_like(v.front());
  for (const at::Tensor& of_task : v) {
    sum.add_(of_task);
    size.add_(of_task.abs());
  }
  const at::Tensor up = sum.div(size).add_(1).mul_(0.5).gt(uniform);
  at::Tensor out = at::zeros_like(sum);
  for (std::size_t i = 0; i < v.size(); ++i) {
    out.add_(at::where(at::where(up, v[i].gt(0), v[i].lt(0)), v[i], v[i].mul(leaks[i])));
  }
  return at::where(size.isfinite(), out, sum);
}

/// `values`, in row-major order, as a tensor of the shape, type and layout that `like` has.
inline at::Tensor laid_out(const at::Tensor& values, const at::Tensor& like) {
  const at::Tensor shaped = values.view(like.sizes());
  if (like.layout() != at::kStrided || !like.is_non_overlapping_and_dense() || same_layout(shaped, like)) {
    return shaped.to(like.scalar_type());
  }
  return at::empty_strided(like.sizes(), like.strides(), like.options()).copy_(shaped);
}

/// The cotangents of one tensor that some tasks have, without undefined ones and those of weight 0.
struct ToDropFrom {
  std::vector<at::Tensor> tensors;  ///< dense, in row-major order
  std::vector<std::size_t> tasks;   ///< whose they are
  at::Tensor like;                  ///< the first that is defined; undefined where none is

  /// @param weights  one per task, on the host; null: none is known to be 0
  /// @throws Error where they differ in shape or device.
  ToDropFrom(at::TensorList cotangents, const double* weights) {
    for (std::size_t i = 0; i < cotangents.size(); ++i) {
      const at::Tensor& cotangent = cotangents[i];
      if (!cotangent.defined()) {
        continue;
      }
      like = like.defined() ? like : cotangent;
      if (cotangent.sizes() != like.sizes() || cotangent.device() != like.device()) {
        fail("the cotangent of task ", i, " has the shape ", cotangent.sizes(), " on ", cotangent.device(), " where another has ",
             like.sizes(), " on ", like.device());
      }
      if (weights == nullptr || weights[i] != 0.0) {
        const at::Tensor dense = cotangent.layout() == at::kStrided ? cotangent : cotangent.to_dense();
        tensors.push_back(dense.resolve_neg().contiguous());
        tasks.push_back(i);
      }
    }
  }

  /// One number for each of the tensors.
  template <class F>
  std::vector<double> each(const F& of_task) const {
    std::vector<double> numbers;
    for (const std::size_t task : tasks) {
      numbers.push_back(of_task(task));
    }
    return numbers;
  }
};

/// The gradient that trains, of cotangents times numbers that are on their device, by its operations; `step` is one number there.
/// @param weighted  task's number times a tensor, by selection: a tensor of its own
template <class Weighted>
at::Tensor sign_dropped_by_aten(const ToDropFrom& from, const SignDrop& rule, const at::Tensor& step, std::uint32_t sequence,
                                const Weighted& weighted) {
  std::vector<at::Tensor> v;
  for (std::size_t k = 0; k < from.tensors.size(); ++k) {
    v.push_back(weighted(from.tasks[k], from.tensors[k].to(at::kDouble).reshape({-1})));
  }
  const at::Tensor uniform = draws_by_aten(from.like.numel(), rule.seed, step, sequence);
  const auto leak_of = [&](std::size_t task) { return rule.leak_of(static_cast<int>(task)); };
  return laid_out(of_drawn_sign_by_aten(v, from.each(leak_of), uniform), from.like);
}

}  // namespace detail

/// The gradient that trains by GradDrop: of_drawn_sign() of the weighted cotangents, element by element, a tensor of its own in
/// the first one's type and layout. What is absent or of weight 0 is left out as in weighted_sum().
///
/// On the CPU cpu::sign_dropped() on LibTorch's threads. On other devices LibTorch's operations in double, the draws included,
/// which are the same: 8 bytes for each element of each task, and no wait.
///
/// @throws Error when the defined cotangents differ in shape or device.
inline at::Tensor sign_dropped(at::TensorList cotangents, const double* weights, const detail::SignDrop& rule,
                               const detail::ElementDraws& draws) {
  const c10::NoGradGuard no_grad;
  const detail::ToDropFrom from(cotangents, weights);
  if (from.tensors.empty()) {
    return from.like.defined() ? at::zeros_like(from.like) : at::Tensor();
  }
  if (from.like.device().is_cpu()) {
    const std::vector<at::Tensor> inputs = detail::aligned(from.tensors, from.like.scalar_type());
    const std::vector<double> selected = from.each([&](std::size_t task) { return weights[task]; });
    const std::vector<double> leaks = from.each([&](std::size_t task) { return rule.leak_of(static_cast<int>(task)); });
    at::Tensor out;
    const bool done = detail::with_element_type(inputs.front().scalar_type(), [&](const auto* type) {
      using Element = std::remove_const_t<std::remove_pointer_t<decltype(type)>>;
      std::vector<const Element*> arrays;
      for (const at::Tensor& input : inputs) {
        arrays.push_back(detail::elements(input, type));
      }
      out = at::empty(inputs.front().sizes(), inputs.front().options());
      cpu::sign_dropped(arrays.data(), selected.data(), leaks.data(), static_cast<int>(arrays.size()), out.numel(), draws,
                        static_cast<Element*>(out.data_ptr()), detail::TorchParallelFor());
    });
    if (done) {
      return detail::laid_out(out, from.like);
    }
  }
  const at::Tensor step = at::full({1}, draws.step, from.like.options().layout(at::kStrided).dtype(at::kLong));
  return detail::sign_dropped_by_aten(from, rule, step, draws.sequence,
                                      [&](std::size_t task, const at::Tensor& tensor) { return tensor.mul(weights[task]); });
}

}  // namespace v0_1
}  // namespace fuller
