// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <fuller/cpu/blocks.hpp>
#include <fuller/cpu/gram_tile.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cpu {
namespace detail {

/// Adds the dot products of the rows of one tile of `panel` with those of its own and later tiles to the upper triangle of K.
/// The panel has `count` rows of n elements (a multiple of 16), `stride` apart; K is count x count with `ldk` doubles a row.
inline void add_tile_row(Isa isa, const double* panel, std::int64_t stride, std::int64_t count, std::int64_t n, std::int64_t tile,
                         double* k, std::int64_t ldk) {
  const std::int64_t step = tile_rows(isa, count);
  const std::int64_t i = tile * step;
  const int height = static_cast<int>(std::min(step, count - i));
  const double* a[4];
  for (int r = 0; r < height; ++r) {
    a[r] = panel + (i + r) * stride;
  }
  double sums[16 * 16];
  double* lanes[16];
  for (int p = 0; p < 16; ++p) {
    lanes[p] = sums + 16 * p;
  }
  std::fill(sums, sums + 16 * 16, 0.0);
  diagonal_tile<false>(isa, a, height, n, lanes, nullptr);
  int p = 0;
  for (int r = 0; r < height; ++r) {
    for (int c = r; c < height; ++c) {
      k[(i + r) * ldk + i + c] += fold_lanes(lanes[p++]);
    }
  }
  for (std::int64_t j = i + step; j < count; j += step) {
    const int width = static_cast<int>(std::min(step, count - j));
    const double* b[4];
    for (int c = 0; c < width; ++c) {
      b[c] = panel + (j + c) * stride;
    }
    std::fill(sums, sums + 16 * 16, 0.0);
    cross_tile(isa, a, height, b, width, n, lanes);
    for (int r = 0; r < height; ++r) {
      for (int c = 0; c < width; ++c) {
        k[(i + r) * ldk + j + c] += fold_lanes(lanes[r * width + c]);
      }
    }
  }
}

/// K_nm = <x_n, x_m> (+ 1 with a bias, as if x ended in a column of ones) of the rows of x [count, length], into the upper
/// triangle of a count x count matrix with `ldk` doubles a row; products and sums in double.
template <class T, class Parallel>
void row_products(const T* x, std::int64_t count, std::int64_t length, bool with_bias, double* k, std::int64_t ldk,
                  const Parallel& parallel, Isa isa) {
  constexpr std::int64_t chunk = 1024;
  const std::int64_t width = std::min(chunk, (length + 15) / 16 * 16);
  const std::int64_t stride = width + 8;  // off the powers of two, so that rows do not meet in the cache
  AlignedDoubles panel(count * stride);
  for (std::int64_t n = 0; n < count; ++n) {
    std::fill(k + n * ldk, k + n * ldk + count, with_bias ? 1.0 : 0.0);
  }
  const std::int64_t tiles = (count + tile_rows(isa, count) - 1) / tile_rows(isa, count);
  for (std::int64_t from = 0; from < length; from += chunk) {
    const std::int64_t n = std::min(chunk, length - from);
    const std::int64_t padded = (n + 15) / 16 * 16;
    parallel(std::int64_t{0}, count, std::int64_t{16}, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t row = first; row < last; ++row) {
        double* const to = panel.data() + row * stride;
        widen(isa, x + row * length + from, n, to);
        std::fill(to + n, to + padded, 0.0);
      }
    });
    // A long tile row and a short one make a unit of work, so that units are equal.
    parallel(std::int64_t{0}, (tiles + 1) / 2, std::int64_t{2}, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t unit = first; unit < last; ++unit) {
        add_tile_row(isa, panel.data(), stride, count, padded, unit, k, ldk);
        if (tiles - 1 - unit != unit) {
          add_tile_row(isa, panel.data(), stride, count, padded, tiles - 1 - unit, k, ldk);
        }
      }
    });
  }
}

}  // namespace detail
}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
