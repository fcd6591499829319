// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <fuller/core/triangle.hpp>
#include <fuller/cpu/widen.hpp>

// Running dot products of pairs of rows. A pair has sixteen lanes; lane l sums the products of the elements l, l + 16, l + 32,
// ... of its rows, in that order, whatever the instruction set and whichever other rows are in the tile. So the Gram matrix of
// some tasks is, bit for bit, a part of the Gram matrix of more of them.

namespace fuller {
inline namespace v0_1 {
namespace cpu {
namespace detail {

using fuller::detail::pair_at;

/// One pair, without vectors of our own.
template <class T>
void dot_lanes(const T* a, const T* b, std::int64_t n, double* lanes) {
  double sum[16];
  for (int l = 0; l < 16; ++l) {
    sum[l] = lanes[l];
  }
  for (std::int64_t e = 0; e < n; e += 16) {
    for (int l = 0; l < 16; ++l) {
      sum[l] += to_double(a[e + l]) * to_double(b[e + l]);
    }
  }
  for (int l = 0; l < 16; ++l) {
    lanes[l] = sum[l];
  }
}

#if FULLER_CPU_X86

/// All pairs i <= j of the rows, n elements (a multiple of 16): adds to lanes[p][0..15]. Where `Copy`, the elements are left as
/// doubles in copy[i][0 .. n - 1] for the tiles that read them next.
template <bool Copy, class T, std::size_t... R, std::size_t... P>
FULLER_TARGET_AVX512 void diagonal_avx512(const T* const* rows, std::int64_t n, double* const* lanes, double* const* copy,
                                          std::index_sequence<R...> /*rows*/, std::index_sequence<P...> /*pairs*/) {
  constexpr int count = sizeof...(R);
  const T* const row[] = {rows[R]...};
  __m512d low[] = {_mm512_loadu_pd(lanes[P])...};
  __m512d high[] = {_mm512_loadu_pd(lanes[P] + 8)...};
  for (std::int64_t e = 0; e < n; e += 16) {
    const __m512d x[] = {load8(row[R] + e)...};
    const __m512d y[] = {load8(row[R] + e + 8)...};
    if constexpr (Copy) {
      (_mm512_storeu_pd(copy[R] + e, x[R]), ...);
      (_mm512_storeu_pd(copy[R] + e + 8, y[R]), ...);
    }
    ((low[P] = _mm512_fmadd_pd(x[pair_at(P, count).i], x[pair_at(P, count).j], low[P])), ...);
    ((high[P] = _mm512_fmadd_pd(y[pair_at(P, count).i], y[pair_at(P, count).j], high[P])), ...);
  }
  (_mm512_storeu_pd(lanes[P], low[P]), ...);
  (_mm512_storeu_pd(lanes[P] + 8, high[P]), ...);
}

template <bool Copy, class T, std::size_t... R, std::size_t... P>
FULLER_TARGET_AVX2 void diagonal_avx2(const T* const* rows, std::int64_t n, double* const* lanes, double* const* copy,
                                      std::index_sequence<R...> /*rows*/, std::index_sequence<P...> /*pairs*/) {
  constexpr int count = sizeof...(R);
  const T* const row[] = {rows[R]...};
  __m256d sum0[] = {_mm256_loadu_pd(lanes[P])...};
  __m256d sum1[] = {_mm256_loadu_pd(lanes[P] + 4)...};
  __m256d sum2[] = {_mm256_loadu_pd(lanes[P] + 8)...};
  __m256d sum3[] = {_mm256_loadu_pd(lanes[P] + 12)...};
  for (std::int64_t e = 0; e < n; e += 16) {
    const __m256d x0[] = {load4(row[R] + e)...};
    if constexpr (Copy) {
      (_mm256_storeu_pd(copy[R] + e, x0[R]), ...);
    }
    ((sum0[P] = _mm256_fmadd_pd(x0[pair_at(P, count).i], x0[pair_at(P, count).j], sum0[P])), ...);
    const __m256d x1[] = {load4(row[R] + e + 4)...};
    if constexpr (Copy) {
      (_mm256_storeu_pd(copy[R] + e + 4, x1[R]), ...);
    }
    ((sum1[P] = _mm256_fmadd_pd(x1[pair_at(P, count).i], x1[pair_at(P, count).j], sum1[P])), ...);
    const __m256d x2[] = {load4(row[R] + e + 8)...};
    if constexpr (Copy) {
      (_mm256_storeu_pd(copy[R] + e + 8, x2[R]), ...);
    }
    ((sum2[P] = _mm256_fmadd_pd(x2[pair_at(P, count).i], x2[pair_at(P, count).j], sum2[P])), ...);
    const __m256d x3[] = {load4(row[R] + e + 12)...};
    if constexpr (Copy) {
      (_mm256_storeu_pd(copy[R] + e + 12, x3[R]), ...);
    }
    ((sum3[P] = _mm256_fmadd_pd(x3[pair_at(P, count).i], x3[pair_at(P, count).j], sum3[P])), ...);
  }
  (_mm256_storeu_pd(lanes[P], sum0[P]), ...);
  (_mm256_storeu_pd(lanes[P] + 4, sum1[P]), ...);
  (_mm256_storeu_pd(lanes[P] + 8, sum2[P]), ...);
  (_mm256_storeu_pd(lanes[P] + 12, sum3[P]), ...);
}

/// All pairs of rows a and b, pair (i, j) in lanes[i * (rows of b) + j]; the lower eight lanes, then the upper ones, so that the
/// sums fit the registers.
template <std::size_t... R, std::size_t... C, std::size_t... P>
FULLER_TARGET_AVX512 void cross_avx512(const double* const* a, const double* const* b, std::int64_t n, double* const* lanes,
                                       std::index_sequence<R...> /*rows*/, std::index_sequence<C...> /*columns*/,
                                       std::index_sequence<P...> /*pairs*/) {
  constexpr std::size_t columns = sizeof...(C);
  const double* const row[] = {a[R]...};
  const double* const column[] = {b[C]...};
  for (int h = 0; h < 16; h += 8) {
    __m512d sum[] = {_mm512_loadu_pd(lanes[P] + h)...};
    for (std::int64_t e = h; e < n; e += 16) {
      const __m512d x[] = {load8(row[R] + e)...};
      const __m512d y[] = {load8(column[C] + e)...};
      ((sum[P] = _mm512_fmadd_pd(x[P / columns], y[P % columns], sum[P])), ...);
    }
    (_mm512_storeu_pd(lanes[P] + h, sum[P]), ...);
  }
}

template <std::size_t... R, std::size_t... C, std::size_t... P>
FULLER_TARGET_AVX2 void cross_avx2(const double* const* a, const double* const* b, std::int64_t n, double* const* lanes,
                                   std::index_sequence<R...> /*rows*/, std::index_sequence<C...> /*columns*/,
                                   std::index_sequence<P...> /*pairs*/) {
  constexpr std::size_t columns = sizeof...(C);
  const double* const row[] = {a[R]...};
  const double* const column[] = {b[C]...};
  for (int h = 0; h < 16; h += 8) {
    __m256d low[] = {_mm256_loadu_pd(lanes[P] + h)...};
    __m256d high[] = {_mm256_loadu_pd(lanes[P] + h + 4)...};
    for (std::int64_t e = h; e < n; e += 16) {
      const __m256d x[] = {load4(row[R] + e)...};
      const __m256d y[] = {load4(column[C] + e)...};
      ((low[P] = _mm256_fmadd_pd(x[P / columns], y[P % columns], low[P])), ...);
      const __m256d u[] = {load4(row[R] + e + 4)...};
      const __m256d v[] = {load4(column[C] + e + 4)...};
      ((high[P] = _mm256_fmadd_pd(u[P / columns], v[P % columns], high[P])), ...);
    }
    (_mm256_storeu_pd(lanes[P] + h, low[P]), ...);
    (_mm256_storeu_pd(lanes[P] + h + 4, high[P]), ...);
  }
}

#endif

/// The most rows of a tile.
inline int most_tile_rows(Isa isa) { return isa == Isa::avx512 ? 4 : isa == Isa::avx2 ? 2 : 1; }

/// Rows of a tile, all but the last alike, when there are `count`: five are better shared out as 3 + 2 than as 4 + 1.
inline int tile_rows(Isa isa, std::int64_t count) {
  const std::int64_t most = most_tile_rows(isa);
  const std::int64_t tiles = (count + most - 1) / most;
  return static_cast<int>((count + tiles - 1) / tiles);
}

template <std::size_t Count>
using Index = std::make_index_sequence<Count>;

/// Adds all pairs i <= j of `count` <= most_tile_rows(isa) rows to lanes[p]; where `Copy`, leaves the rows in copy[i].
template <bool Copy, class T>
void diagonal_tile(Isa isa, const T* const* rows, int count, std::int64_t n, double* const* lanes, double* const* copy) {
#if FULLER_CPU_X86
  if (isa == Isa::avx512) {
    switch (count) {
      case 1:
        return diagonal_avx512<Copy>(rows, n, lanes, copy, Index<1>(), Index<1>());
      case 2:
        return diagonal_avx512<Copy>(rows, n, lanes, copy, Index<2>(), Index<3>());
      case 3:
        return diagonal_avx512<Copy>(rows, n, lanes, copy, Index<3>(), Index<6>());
      default:
        return diagonal_avx512<Copy>(rows, n, lanes, copy, Index<4>(), Index<10>());
    }
  }
  if (isa == Isa::avx2) {
    return count == 1 ? diagonal_avx2<Copy>(rows, n, lanes, copy, Index<1>(), Index<1>())
                      : diagonal_avx2<Copy>(rows, n, lanes, copy, Index<2>(), Index<3>());
  }
#endif
  static_cast<void>(isa);
  static_cast<void>(count);
  dot_lanes(rows[0], rows[0], n, lanes[0]);
  if (Copy) {
    widen(isa, rows[0], n, copy[0]);
  }
}

/// Adds all pairs of `height` rows a (3 or 4 with AVX-512, 2 with AVX2, else 1: what tile_rows gives for more than one tile) with
/// `width` <= height rows b to lanes[i * width + j].
inline void cross_tile(Isa isa, const double* const* a, int height, const double* const* b, int width, std::int64_t n,
                       double* const* lanes) {
#if FULLER_CPU_X86
  if (isa == Isa::avx512) {
    switch (height * 10 + width) {
      case 31:
        return cross_avx512(a, b, n, lanes, Index<3>(), Index<1>(), Index<3>());
      case 32:
        return cross_avx512(a, b, n, lanes, Index<3>(), Index<2>(), Index<6>());
      case 33:
        return cross_avx512(a, b, n, lanes, Index<3>(), Index<3>(), Index<9>());
      case 41:
        return cross_avx512(a, b, n, lanes, Index<4>(), Index<1>(), Index<4>());
      case 42:
        return cross_avx512(a, b, n, lanes, Index<4>(), Index<2>(), Index<8>());
      case 43:
        return cross_avx512(a, b, n, lanes, Index<4>(), Index<3>(), Index<12>());
      default:
        return cross_avx512(a, b, n, lanes, Index<4>(), Index<4>(), Index<16>());
    }
  }
  if (isa == Isa::avx2) {
    return width == 1 ? cross_avx2(a, b, n, lanes, Index<2>(), Index<1>(), Index<2>())
                      : cross_avx2(a, b, n, lanes, Index<2>(), Index<2>(), Index<4>());
  }
#endif
  static_cast<void>(isa);
  static_cast<void>(height);
  static_cast<void>(width);
  dot_lanes(a[0], b[0], n, lanes[0]);
}

}  // namespace detail
}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
