// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include <fuller/cpu/widen.hpp>

// Running dot products of pairs of rows. A pair has sixteen lanes; lane l sums the products of the elements l, l + 16, l + 32,
// ... of its rows, in that order, whatever the instruction set and whichever other rows are in the tile. So the Gram matrix of
// some tasks is, bit for bit, a part of the Gram matrix of more of them.

namespace fuller {
namespace cpu {
namespace detail {

/// The p-th pair (i, j), i <= j, of the upper triangle of `rows` rows.
struct TilePair {
  int i;
  int j;
};
constexpr TilePair triangle_pair(int p, int rows) {
  int i = 0;
  while (p >= rows - i) {
    p -= rows - i;
    ++i;
  }
  return {i, i + p};
}

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

/// What a diagonal tile asks for while it computes: the elements its rows are filled from next.
struct Prefetch {
  const char* const* rows;  ///< null: nothing
  std::int64_t stride;      ///< bytes of an element
};

/// All pairs i <= j of the rows, n elements (a multiple of 16): adds to lanes[p][0..15].
template <class T, std::size_t... R, std::size_t... P>
FULLER_TARGET_AVX512 void diagonal_avx512(const T* const* rows, std::int64_t n, double* const* lanes, Prefetch next,
                                          std::index_sequence<R...> /*rows*/, std::index_sequence<P...> /*pairs*/) {
  constexpr int count = sizeof...(R);
  const T* const row[] = {rows[R]...};
  __m512d low[] = {_mm512_loadu_pd(lanes[P])...};
  __m512d high[] = {_mm512_loadu_pd(lanes[P] + 8)...};
  for (std::int64_t e = 0; e < n; e += 16) {
    if (next.rows != nullptr) {
      (_mm_prefetch(next.rows[R] + e * next.stride, _MM_HINT_T0), ...);
    }
    const __m512d x[] = {load8(row[R] + e)...};
    ((low[P] = _mm512_fmadd_pd(x[triangle_pair(P, count).i], x[triangle_pair(P, count).j], low[P])), ...);
    const __m512d y[] = {load8(row[R] + e + 8)...};
    ((high[P] = _mm512_fmadd_pd(y[triangle_pair(P, count).i], y[triangle_pair(P, count).j], high[P])), ...);
  }
  (_mm512_storeu_pd(lanes[P], low[P]), ...);
  (_mm512_storeu_pd(lanes[P] + 8, high[P]), ...);
}

template <class T, std::size_t... R, std::size_t... P>
FULLER_TARGET_AVX2 void diagonal_avx2(const T* const* rows, std::int64_t n, double* const* lanes, Prefetch next,
                                      std::index_sequence<R...> /*rows*/, std::index_sequence<P...> /*pairs*/) {
  constexpr int count = sizeof...(R);
  const T* const row[] = {rows[R]...};
  __m256d sum0[] = {_mm256_loadu_pd(lanes[P])...};
  __m256d sum1[] = {_mm256_loadu_pd(lanes[P] + 4)...};
  __m256d sum2[] = {_mm256_loadu_pd(lanes[P] + 8)...};
  __m256d sum3[] = {_mm256_loadu_pd(lanes[P] + 12)...};
  for (std::int64_t e = 0; e < n; e += 16) {
    if (next.rows != nullptr) {
      (_mm_prefetch(next.rows[R] + e * next.stride, _MM_HINT_T0), ...);
    }
    const __m256d x0[] = {load4(row[R] + e)...};
    ((sum0[P] = _mm256_fmadd_pd(x0[triangle_pair(P, count).i], x0[triangle_pair(P, count).j], sum0[P])), ...);
    const __m256d x1[] = {load4(row[R] + e + 4)...};
    ((sum1[P] = _mm256_fmadd_pd(x1[triangle_pair(P, count).i], x1[triangle_pair(P, count).j], sum1[P])), ...);
    const __m256d x2[] = {load4(row[R] + e + 8)...};
    ((sum2[P] = _mm256_fmadd_pd(x2[triangle_pair(P, count).i], x2[triangle_pair(P, count).j], sum2[P])), ...);
    const __m256d x3[] = {load4(row[R] + e + 12)...};
    ((sum3[P] = _mm256_fmadd_pd(x3[triangle_pair(P, count).i], x3[triangle_pair(P, count).j], sum3[P])), ...);
  }
  (_mm256_storeu_pd(lanes[P], sum0[P]), ...);
  (_mm256_storeu_pd(lanes[P] + 4, sum1[P]), ...);
  (_mm256_storeu_pd(lanes[P] + 8, sum2[P]), ...);
  (_mm256_storeu_pd(lanes[P] + 12, sum3[P]), ...);
}

/// All pairs of four rows a with `C` rows b, pair (i, j) in lanes[i * C + j]; the lower eight lanes, then the upper ones, so that
/// the sums fit the registers.
template <std::size_t... C, std::size_t... P>
FULLER_TARGET_AVX512 void cross_avx512(const double* const* a, const double* const* b, std::int64_t n, double* const* lanes,
                                       std::index_sequence<C...> /*columns*/, std::index_sequence<P...> /*pairs*/) {
  constexpr std::size_t columns = sizeof...(C);
  const double* const column[] = {b[C]...};
  for (int h = 0; h < 16; h += 8) {
    __m512d sum[] = {_mm512_loadu_pd(lanes[P] + h)...};
    for (std::int64_t e = h; e < n; e += 16) {
      const __m512d x[] = {load8(a[0] + e), load8(a[1] + e), load8(a[2] + e), load8(a[3] + e)};
      const __m512d y[] = {load8(column[C] + e)...};
      ((sum[P] = _mm512_fmadd_pd(x[P / columns], y[P % columns], sum[P])), ...);
    }
    (_mm512_storeu_pd(lanes[P] + h, sum[P]), ...);
  }
}

/// All pairs of two rows a with `C` rows b.
template <std::size_t... C, std::size_t... P>
FULLER_TARGET_AVX2 void cross_avx2(const double* const* a, const double* const* b, std::int64_t n, double* const* lanes,
                                   std::index_sequence<C...> /*columns*/, std::index_sequence<P...> /*pairs*/) {
  constexpr std::size_t columns = sizeof...(C);
  const double* const column[] = {b[C]...};
  for (int h = 0; h < 16; h += 8) {
    __m256d low[] = {_mm256_loadu_pd(lanes[P] + h)...};
    __m256d high[] = {_mm256_loadu_pd(lanes[P] + h + 4)...};
    for (std::int64_t e = h; e < n; e += 16) {
      const __m256d x[] = {load4(a[0] + e), load4(a[1] + e)};
      const __m256d y[] = {load4(column[C] + e)...};
      ((low[P] = _mm256_fmadd_pd(x[P / columns], y[P % columns], low[P])), ...);
      const __m256d u[] = {load4(a[0] + e + 4), load4(a[1] + e + 4)};
      const __m256d v[] = {load4(column[C] + e + 4)...};
      ((high[P] = _mm256_fmadd_pd(u[P / columns], v[P % columns], high[P])), ...);
    }
    (_mm256_storeu_pd(lanes[P] + h, low[P]), ...);
    (_mm256_storeu_pd(lanes[P] + h + 4, high[P]), ...);
  }
}

#endif

/// Rows a diagonal tile takes at once.
inline int tile_rows(Isa isa) { return isa == Isa::avx512 ? 4 : isa == Isa::avx2 ? 2 : 1; }

template <std::size_t Count>
using Index = std::make_index_sequence<Count>;

/// Adds all pairs i <= j of `count` <= tile_rows(isa) rows to lanes[p].
template <class T>
void diagonal_tile(Isa isa, const T* const* rows, int count, std::int64_t n, double* const* lanes, const char* const* next,
                   std::int64_t next_stride) {
#if FULLER_CPU_X86
  const Prefetch prefetch{next, next_stride};
  if (isa == Isa::avx512) {
    switch (count) {
      case 1:
        return diagonal_avx512(rows, n, lanes, prefetch, Index<1>(), Index<1>());
      case 2:
        return diagonal_avx512(rows, n, lanes, prefetch, Index<2>(), Index<3>());
      case 3:
        return diagonal_avx512(rows, n, lanes, prefetch, Index<3>(), Index<6>());
      default:
        return diagonal_avx512(rows, n, lanes, prefetch, Index<4>(), Index<10>());
    }
  }
  if (isa == Isa::avx2) {
    return count == 1 ? diagonal_avx2(rows, n, lanes, prefetch, Index<1>(), Index<1>())
                      : diagonal_avx2(rows, n, lanes, prefetch, Index<2>(), Index<3>());
  }
#endif
  static_cast<void>(isa);
  static_cast<void>(count);
  static_cast<void>(next);
  static_cast<void>(next_stride);
  dot_lanes(rows[0], rows[0], n, lanes[0]);
}

/// Adds all pairs of tile_rows(isa) rows a with `count` <= tile_rows(isa) rows b to lanes[i * count + j].
inline void cross_tile(Isa isa, const double* const* a, const double* const* b, int count, std::int64_t n, double* const* lanes) {
#if FULLER_CPU_X86
  if (isa == Isa::avx512) {
    switch (count) {
      case 1:
        return cross_avx512(a, b, n, lanes, Index<1>(), Index<4>());
      case 2:
        return cross_avx512(a, b, n, lanes, Index<2>(), Index<8>());
      case 3:
        return cross_avx512(a, b, n, lanes, Index<3>(), Index<12>());
      default:
        return cross_avx512(a, b, n, lanes, Index<4>(), Index<16>());
    }
  }
  if (isa == Isa::avx2) {
    return count == 1 ? cross_avx2(a, b, n, lanes, Index<1>(), Index<2>()) : cross_avx2(a, b, n, lanes, Index<2>(), Index<4>());
  }
#endif
  static_cast<void>(isa);
  static_cast<void>(count);
  dot_lanes(a[0], b[0], n, lanes[0]);
}

}  // namespace detail
}  // namespace cpu
}  // namespace fuller
