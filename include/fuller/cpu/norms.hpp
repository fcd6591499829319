// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include <fuller/cpu/blocks.hpp>
#include <fuller/cpu/widen.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cpu {
namespace detail {

/// Sums that a run's squares are dealt out to: as many as keep two fused multiply-adds of 8 lanes in flight a cycle.
constexpr std::int64_t square_lane_count = 32;

/// Adds x[e]^2 of a run of n elements to lane e mod 32.
template <class T>
void square_lanes(const T* x, std::int64_t n, double* lanes) {
  for (std::int64_t e = 0; e < n; ++e) {
    const double value = to_double(x[e]);
    lanes[e % square_lane_count] += value * value;
  }
}

#if FULLER_CPU_X86

template <class T>
FULLER_TARGET_AVX512 void square_lanes_avx512(const T* x, std::int64_t n, double* lanes) {
  const std::int64_t whole = n / 16 * 16;
  __m512d sum0 = _mm512_loadu_pd(lanes);
  __m512d sum1 = _mm512_loadu_pd(lanes + 8);
  __m512d sum2 = _mm512_loadu_pd(lanes + 16);
  __m512d sum3 = _mm512_loadu_pd(lanes + 24);
  std::int64_t e = 0;
  for (; e + square_lane_count <= whole; e += square_lane_count) {
    const __m512d a = load8(x + e);
    const __m512d b = load8(x + e + 8);
    const __m512d c = load8(x + e + 16);
    const __m512d d = load8(x + e + 24);
    sum0 = _mm512_fmadd_pd(a, a, sum0);
    sum1 = _mm512_fmadd_pd(b, b, sum1);
    sum2 = _mm512_fmadd_pd(c, c, sum2);
    sum3 = _mm512_fmadd_pd(d, d, sum3);
  }
  // What is left begins at lane 0 again, or, after 16 more elements, at lane 16.
  const bool half = e < whole;
  if (half) {
    const __m512d a = load8(x + e);
    const __m512d b = load8(x + e + 8);
    sum0 = _mm512_fmadd_pd(a, a, sum0);
    sum1 = _mm512_fmadd_pd(b, b, sum1);
  }
  _mm512_storeu_pd(lanes, sum0);
  _mm512_storeu_pd(lanes + 8, sum1);
  _mm512_storeu_pd(lanes + 16, sum2);
  _mm512_storeu_pd(lanes + 24, sum3);
  square_lanes(x + whole, n - whole, lanes + (half ? 16 : 0));
}

template <class T>
FULLER_TARGET_AVX2 void square_lanes_avx2(const T* x, std::int64_t n, double* lanes) {
  const std::int64_t whole = n / 16 * 16;
  __m256d sums[8];
#pragma GCC unroll 8
  for (int l = 0; l < 8; ++l) {
    sums[l] = _mm256_loadu_pd(lanes + 4 * l);
  }
  std::int64_t e = 0;
  for (; e + square_lane_count <= whole; e += square_lane_count) {
#pragma GCC unroll 8
    for (int l = 0; l < 8; ++l) {
      const __m256d a = load4(x + e + 4 * l);
      sums[l] = _mm256_fmadd_pd(a, a, sums[l]);
    }
  }
  const bool half = e < whole;
  if (half) {
#pragma GCC unroll 4
    for (int l = 0; l < 4; ++l) {
      const __m256d a = load4(x + e + 4 * l);
      sums[l] = _mm256_fmadd_pd(a, a, sums[l]);
    }
  }
#pragma GCC unroll 8
  for (int l = 0; l < 8; ++l) {
    _mm256_storeu_pd(lanes + 4 * l, sums[l]);
  }
  square_lanes(x + whole, n - whole, lanes + (half ? 16 : 0));
}

#endif

template <class T>
void square_lanes(Isa isa, const T* x, std::int64_t n, double* lanes) {
#if FULLER_CPU_X86
  if (isa == Isa::avx512) {
    return square_lanes_avx512(x, n, lanes);
  }
  if (isa == Isa::avx2) {
    return square_lanes_avx2(x, n, lanes);
  }
#else
  static_cast<void>(isa);
#endif
  square_lanes(x, n, lanes);
}

/// The elements [begin, end) of memory that is a row of runs, over and over: run m of a row belongs to slice m and has
/// widths[m] * inner elements. Adds their squares to the lanes of their slices.
template <class T>
void square_runs(Isa isa, const T* weight, const std::int64_t* widths, int slices, std::int64_t inner, std::int64_t row,
                 std::int64_t begin, std::int64_t end, double* lanes) {
  int slice = 0;
  std::int64_t run_end = begin / row * row + widths[0] * inner;
  for (std::int64_t from = begin; from < end;) {
    while (run_end <= from) {
      slice = slice + 1 == slices ? 0 : slice + 1;
      run_end += widths[slice] * inner;
    }
    const std::int64_t to = std::min(run_end, end);
    square_lanes(isa, weight + from, to - from, lanes + slice * square_lane_count);
    from = to;
  }
}

}  // namespace detail

/// Adds the squared Euclidean norm of each slice of one weight to squared_norms[m], in one pass over the weight.
///
/// The weight is dense and has the shape [outer, channels, inner] in memory, channels = sum of widths; slice m has the channels
/// widths[0] + ... + widths[m - 1] and the following widths[m]. A convolution's weight [O, C, k...] sliced along C is [O, C, k]
/// when contiguous and [O k, C, 1] in channels_last. Squares and sums are those of add_gram (exact squares of float and half
/// types, double sums, 1e-12 relative, deterministic, scaled by powers of two bit for bit). A slice of width 0 adds nothing.
/// Host memory; allocates scratch; never syncs.
template <class T, class Parallel = SerialFor>
void add_slice_squared_norms(const T* weight, std::int64_t outer, const std::int64_t* widths, int slices, std::int64_t inner,
                             double* squared_norms, const Parallel& parallel = Parallel(), Isa isa = best_isa()) {
  std::int64_t row = 0;
  for (int m = 0; m < slices; ++m) {
    row += widths[m] * inner;
  }
  if (outer <= 0 || row <= 0) {
    return;
  }
  const detail::Blocks blocks(outer * row);
  detail::AlignedDoubles partial(blocks.count * slices);
  parallel(std::int64_t{0}, blocks.count, std::int64_t{2}, [&](std::int64_t first, std::int64_t last) {
    detail::AlignedDoubles lanes(slices * detail::square_lane_count);
    for (std::int64_t b = first; b < last; ++b) {
      double* const sums = partial.data() + b * slices;
      std::fill(sums, sums + slices, 0.0);
      for (std::int64_t from = blocks.begin(b); from < blocks.end(b); from += detail::Blocks::stretch) {
        std::fill(lanes.data(), lanes.data() + slices * detail::square_lane_count, 0.0);
        const std::int64_t to = std::min(from + detail::Blocks::stretch, blocks.end(b));
        detail::square_runs(isa, weight, widths, slices, inner, row, from, to, lanes.data());
        for (int m = 0; m < slices; ++m) {
          double* const of_slice = lanes.data() + m * detail::square_lane_count;
          for (int l = 0; l < 16; ++l) {
            of_slice[l] += of_slice[l + 16];
          }
          sums[m] += detail::fold_lanes(of_slice);
        }
      }
    }
  });
  detail::fold_rows(partial.data(), blocks.count, slices);
  for (int m = 0; m < slices; ++m) {
    squared_norms[m] += partial.data()[m];
  }
}

}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
