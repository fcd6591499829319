// SPDX-License-Identifier: Apache-2.0
#pragma once

// Data of every element type that the kernels take, and layouts of tensors.

#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include <fuller/cuda/element.hpp>
#include <fuller/cuda/views.hpp>

namespace fuller::testing {

template <class E>
constexpr cuda::Element element_of() {
  return std::is_same_v<E, float>        ? cuda::Element::float32
         : std::is_same_v<E, double>     ? cuda::Element::float64
         : std::is_same_v<E, cuda::Half> ? cuda::Element::float16
                                         : cuda::Element::bfloat16;
}

template <class E>
E rounded_to(double x) {
  E out;
  if constexpr (std::is_same_v<E, double>) {
    out = x;
  } else {
    cuda::detail::narrow(static_cast<float>(x), out);
  }
  return out;
}

template <class E>
double exact(E x) {
  return static_cast<double>(cuda::detail::widen(x));
}

/// Normally distributed elements around `mean`.
template <class E>
std::vector<E> normal_numbers(std::int64_t n, unsigned seed, double mean = 0, double scale = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(mean, 1);
  std::vector<E> numbers;
  for (std::int64_t e = 0; e < n; ++e) {
    numbers.push_back(rounded_to<E>(scale * normal(random)));
  }
  return numbers;
}

/// A tensor's shape and strides, kept for its view.
struct Layout {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;

  cuda::TensorView view(const void* data) const { return {data, static_cast<int>(sizes.size()), sizes.data(), strides.data()}; }
  std::int64_t count() const {
    std::int64_t n = 1;
    for (const std::int64_t size : sizes) n *= size;
    return n;
  }
  /// Where the element with row-major number e is.
  std::int64_t offset(std::int64_t e) const {
    std::int64_t at = 0;
    for (std::size_t d = sizes.size(); d-- > 0; e /= sizes[d]) at += e % sizes[d] * strides[d];
    return at;
  }
};

inline Layout row(std::int64_t n) { return {{n}, {1}}; }

}  // namespace fuller::testing
