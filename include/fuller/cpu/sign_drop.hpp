// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <fuller/core/halves.hpp>
#include <fuller/core/sign_drop.hpp>
#include <fuller/cpu/blocks.hpp>
#include <fuller/cpu/element.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cpu {

namespace detail {

template <class T>
T rounded(double x) {
  if constexpr (std::is_same_v<T, Half>) {
    return to_half(static_cast<float>(x));
  } else if constexpr (std::is_same_v<T, BFloat16>) {
    return to_bfloat16(static_cast<float>(x));
  } else {
    return static_cast<T>(x);
  }
}

}  // namespace detail

/// out[e] = of_drawn_sign() of weights[i] x_i[e] over `count` arrays of n elements in row-major order, in one pass: in double,
/// then rounded to T. Arrays of weight 0 are left out, not multiplied: they may hold NaN, and may be null. `leaks` has `count`
/// numbers. out may be one of the arrays. Deterministic for any number of threads. Allocates a few short arrays for each range;
/// never syncs.
template <class T, class Parallel = SerialFor>
void sign_dropped(const T* const* arrays, const double* weights, const double* leaks, int count, std::int64_t n,
                  const fuller::detail::ElementDraws& draws, T* out, const Parallel& parallel = Parallel()) {
  std::vector<const T*> x;
  std::vector<double> w;
  std::vector<double> leak;
  for (int i = 0; i < count; ++i) {
    if (weights[i] != 0.0) {
      x.push_back(arrays[i]);
      w.push_back(weights[i]);
      leak.push_back(leaks[i]);
    }
  }
  const auto used = x.size();
  parallel(std::int64_t{0}, (n + 3) / 4, std::int64_t{2048}, [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> v(used);
    double uniform[4];
    for (std::int64_t block = begin; block < end; ++block) {
      draws.four(block, uniform);
      const std::int64_t last = std::min(n, 4 * block + 4);
      for (std::int64_t e = 4 * block; e < last; ++e) {
        for (std::size_t i = 0; i < used; ++i) {
          v[i] = w[i] * to_double(x[i][e]);
        }
        const double kept = fuller::detail::of_drawn_sign(v.data(), leak.data(), static_cast<int>(used), uniform[e % 4]);
        out[e] = detail::rounded<T>(kept);
      }
    }
  });
}

}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
