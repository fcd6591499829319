// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>
#include <fuller/core/random.hpp>
#include <fuller/core/task_vector.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// How task gradients become one element by element, where a rule drops signs: see GradDrop.
struct SignDrop {
  TaskVector leak;  ///< l_i, one per task; empty: 0
  std::uint64_t seed = 0;

  FULLER_HD double leak_of(int task) const { return leak.empty() ? 0 : leak[task]; }
};

/// One element of the gradient that trains: of K numbers v_i, those of the drawn sign, and of the others the share `leaks[i]`.
/// Upwards is drawn with probability 1/2 (1 + sum v / sum |v|), that is where it exceeds `uniform`. What is not finite is shown,
/// by their sum, and never dropped.
FULLER_HD inline double of_drawn_sign(const double* v, const double* leaks, int count, double uniform) {
  double sum = 0;
  double size = 0;
  for (int i = 0; i < count; ++i) {
    sum += v[i];
    size += std::fabs(v[i]);
  }
  if (!is_finite(size)) {
    return sum;
  }
  const bool up = 0.5 * (1 + sum / size) > uniform;  // where size is 0, so is every v
  double out = 0;
  for (int i = 0; i < count; ++i) {
    const bool passes = up ? v[i] > 0 : v[i] < 0;
    out += passes ? v[i] : leaks[i] * v[i];
  }
  return out;
}

/// The uniform numbers of one tensor's elements in one step, by their place in row-major order: Philox(seed, step, sequence).
struct ElementDraws {
  std::uint64_t seed = 0;
  std::int64_t step = 0;
  std::uint32_t sequence = 0;

  /// The numbers of elements 4 b to 4 b + 3, each in (0, 1) and an odd multiple of 2^-33: a purity that is a simple fraction is
  /// never met, and 0 and 1 are on one side of all of them.
  FULLER_HD void four(std::int64_t b, double* out) const {
    const PhiloxBlock words = random_block(seed, step, sequence, static_cast<std::uint32_t>(b));
    for (int k = 0; k < 4; ++k) {
      out[k] = (words.word[k] + 0.5) * 0x1p-32;
    }
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
