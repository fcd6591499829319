// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/host_device.hpp>
#include <fuller/core/triangle.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {
namespace detail {

// How work is cut. Every cut follows from element counts alone, never from the device or the grid: a unit of elements has its
// partial sums whichever block computes it, and they are added in the order of the units.

inline constexpr int block_threads = 256;
inline constexpr int warp_threads = 32;
inline constexpr int block_warps = block_threads / warp_threads;

/// The smallest unit: one or two accesses of 16 bytes for each of 256 threads.
inline constexpr std::int64_t smallest_unit = 2048;

FULLER_HD constexpr std::int64_t least(std::int64_t a, std::int64_t b) { return a < b ? a : b; }

FULLER_HD constexpr std::int64_t ceil_divide(std::int64_t n, std::int64_t by) { return n / by + (n % by != 0 ? 1 : 0); }

/// At most so many units (besides one for each tensor), `width` doubles of partial sums each: 4 MiB of them.
FULLER_HD constexpr std::int64_t most_units(std::int64_t width) {
  const std::int64_t fit = (std::int64_t{1} << 19) / width;
  return fit < 256 ? 256 : least(fit, 4096);
}

/// Elements of a unit where tensors of `total` elements are reduced to `width` sums; a multiple of `smallest_unit`, hence of
/// every vector's width.
FULLER_HD constexpr std::int64_t unit_size(std::int64_t total, std::int64_t width) {
  const std::int64_t times = ceil_divide(total, smallest_unit * most_units(width));
  return smallest_unit * (times < 1 ? 1 : times);
}

using fuller::detail::Pair;
using fuller::detail::pair_at;
using fuller::detail::pair_count;
using fuller::detail::pair_index;

/// For so many tasks each thread holds all sums. Beyond, they do not fit its registers: a block shares them out as tiles of 4
/// x 4.
inline constexpr int few_tasks = 4;
inline constexpr int tile = 4;

FULLER_HD constexpr bool is_few(int tasks) { return tasks > 1 && tasks <= few_tasks; }

FULLER_HD constexpr int tiles_across(int tasks) { return (tasks + tile - 1) / tile; }

/// Sums that a unit leaves: the pairs of few tasks, else whole tiles.
FULLER_HD constexpr int gram_width(int tasks) {
  return is_few(tasks) ? pair_count(tasks) : pair_count(tiles_across(tasks)) * tile * tile;
}

/// The offset of element e (in the walk's order) of a tensor with these strides.
template <class Size>
FULLER_HD constexpr std::int64_t offset_of(std::int64_t e, int dims, const Size* sizes, const Size* strides) {
  std::int64_t offset = 0;
  for (int d = dims - 1; d > 0; --d) {
    const auto size = static_cast<std::int64_t>(sizes[d]);
    // The division of 32 bits is several times cheaper, and nearly all tensors are that small.
    std::int64_t outer = 0;
    if (e <= 0xFFFFFFFFLL && size <= 0xFFFFFFFFLL) {
      outer = static_cast<std::int64_t>(static_cast<std::uint32_t>(e) / static_cast<std::uint32_t>(size));
    } else {
      outer = e / size;
    }
    offset += (e - outer * size) * static_cast<std::int64_t>(strides[d]);
    e = outer;
  }
  return offset + e * static_cast<std::int64_t>(strides[0]);
}

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
