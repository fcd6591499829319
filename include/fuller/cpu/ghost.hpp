// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <fuller/cpu/blocks.hpp>
#include <fuller/cpu/row_products.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cpu {
namespace detail {

/// Columns of the output gradients that are worked on at once, and rows of K dy held in registers.
constexpr std::int64_t ghost_width = 16;
constexpr std::int64_t ghost_height = 8;

/// The symmetric K, of which the upper triangle is given, as blocks of eight of its columns: k[n / 8][m][n % 8] = K_mn. Read in
/// this order its entries follow each other in memory.
inline void pack_columns(const double* upper, std::int64_t rows, double* k) {
  for (std::int64_t n = 0; n < rows; ++n) {
    double* const block = k + n / ghost_height * rows * ghost_height + n % ghost_height;
    for (std::int64_t m = 0; m < rows; ++m) {
      block[m * ghost_height] = upper[std::min(m, n) * rows + std::max(m, n)];
    }
  }
}

/// y[r][c] = sum_m k[m * 8 + r] d[m * 16 + c] for 8 rows and 16 columns.
inline void ghost_block(const double* k, const double* d, std::int64_t rows, double* y) {
  std::fill(y, y + ghost_height * ghost_width, 0.0);
  for (std::int64_t m = 0; m < rows; ++m) {
    for (std::int64_t r = 0; r < ghost_height; ++r) {
      for (std::int64_t c = 0; c < ghost_width; ++c) {
        y[r * ghost_width + c] += k[m * ghost_height + r] * d[m * ghost_width + c];
      }
    }
  }
}

/// lanes[c] += sum over the 8 rows of y[r][c] d[r][c].
inline void ghost_dot(const double* y, const double* d, double* lanes) {
  for (std::int64_t e = 0; e < ghost_height * ghost_width; ++e) {
    lanes[e % ghost_width] += y[e] * d[e];
  }
}

#if FULLER_CPU_X86

template <std::size_t... R>
FULLER_TARGET_AVX512 void ghost_block_avx512(const double* k, const double* d, std::int64_t rows, double* y,
                                             std::index_sequence<R...> /*rows*/) {
  __m512d low[] = {_mm512_set1_pd(0.0 * static_cast<double>(R))...};
  __m512d high[] = {_mm512_set1_pd(0.0 * static_cast<double>(R))...};
  for (std::int64_t m = 0; m < rows; ++m) {
    const __m512d left = _mm512_loadu_pd(d + m * ghost_width);
    const __m512d right = _mm512_loadu_pd(d + m * ghost_width + 8);
    const __m512d weight[] = {_mm512_set1_pd(k[m * ghost_height + static_cast<std::int64_t>(R)])...};
    ((low[R] = _mm512_fmadd_pd(weight[R], left, low[R])), ...);
    ((high[R] = _mm512_fmadd_pd(weight[R], right, high[R])), ...);
  }
  (_mm512_storeu_pd(y + R * ghost_width, low[R]), ...);
  (_mm512_storeu_pd(y + R * ghost_width + 8, high[R]), ...);
}

FULLER_TARGET_AVX512 inline void ghost_dot_avx512(const double* y, const double* d, double* lanes) {
  __m512d low = _mm512_loadu_pd(lanes);
  __m512d high = _mm512_loadu_pd(lanes + 8);
  for (std::int64_t e = 0; e < ghost_height * ghost_width; e += ghost_width) {
    low = _mm512_fmadd_pd(_mm512_loadu_pd(y + e), _mm512_loadu_pd(d + e), low);
    high = _mm512_fmadd_pd(_mm512_loadu_pd(y + e + 8), _mm512_loadu_pd(d + e + 8), high);
  }
  _mm512_storeu_pd(lanes, low);
  _mm512_storeu_pd(lanes + 8, high);
}

/// Four of the rows and eight of the columns at a time: what 16 registers hold.
template <std::size_t... R>
FULLER_TARGET_AVX2 void ghost_block_avx2(const double* k, const double* d, std::int64_t rows, double* y,
                                         std::index_sequence<R...> /*rows*/) {
  for (std::int64_t r = 0; r < ghost_height; r += 4) {
    for (std::int64_t c = 0; c < ghost_width; c += 8) {
      __m256d low[] = {_mm256_set1_pd(0.0 * static_cast<double>(R))...};
      __m256d high[] = {_mm256_set1_pd(0.0 * static_cast<double>(R))...};
      for (std::int64_t m = 0; m < rows; ++m) {
        const __m256d left = _mm256_loadu_pd(d + m * ghost_width + c);
        const __m256d right = _mm256_loadu_pd(d + m * ghost_width + c + 4);
        const __m256d weight[] = {_mm256_set1_pd(k[m * ghost_height + r + static_cast<std::int64_t>(R)])...};
        ((low[R] = _mm256_fmadd_pd(weight[R], left, low[R])), ...);
        ((high[R] = _mm256_fmadd_pd(weight[R], right, high[R])), ...);
      }
      (_mm256_storeu_pd(y + (r + static_cast<std::int64_t>(R)) * ghost_width + c, low[R]), ...);
      (_mm256_storeu_pd(y + (r + static_cast<std::int64_t>(R)) * ghost_width + c + 4, high[R]), ...);
    }
  }
}

FULLER_TARGET_AVX2 inline void ghost_dot_avx2(const double* y, const double* d, double* lanes) {
  for (std::int64_t c = 0; c < ghost_width; c += 4) {
    __m256d sum = _mm256_loadu_pd(lanes + c);
    for (std::int64_t e = c; e < ghost_height * ghost_width; e += ghost_width) {
      sum = _mm256_fmadd_pd(_mm256_loadu_pd(y + e), _mm256_loadu_pd(d + e), sum);
    }
    _mm256_storeu_pd(lanes + c, sum);
  }
}

#endif

inline void ghost_block(Isa isa, const double* k, const double* d, std::int64_t rows, double* y) {
#if FULLER_CPU_X86
  if (isa == Isa::avx512) {
    return ghost_block_avx512(k, d, rows, y, std::make_index_sequence<8>());
  }
  if (isa == Isa::avx2) {
    return ghost_block_avx2(k, d, rows, y, std::make_index_sequence<4>());
  }
#else
  static_cast<void>(isa);
#endif
  ghost_block(k, d, rows, y);
}

inline void ghost_dot(Isa isa, const double* y, const double* d, double* lanes) {
#if FULLER_CPU_X86
  if (isa == Isa::avx512) {
    return ghost_dot_avx512(y, d, lanes);
  }
  if (isa == Isa::avx2) {
    return ghost_dot_avx2(y, d, lanes);
  }
#else
  static_cast<void>(isa);
#endif
  ghost_dot(y, d, lanes);
}

/// K = x x^T (+ 1) as pack_columns leaves it, zeros in the columns that round its rows up to a multiple of eight.
template <class X, class Parallel>
AlignedDoubles ghost_columns(const X* x, std::int64_t rows, std::int64_t inputs, bool with_bias, const Parallel& parallel,
                             Isa isa) {
  const std::int64_t padded = (rows + ghost_height - 1) / ghost_height * ghost_height;
  AlignedDoubles k(padded * rows);
  std::fill(k.data(), k.data() + padded * rows, 0.0);
  AlignedDoubles upper(rows * rows);
  row_products(x, rows, inputs, with_bias, upper.data(), rows, parallel, isa);
  pack_columns(upper.data(), rows, k.data());
  return k;
}

/// Adds <K dy_i, dy_j> to gram[i * tasks + j].
template <class D, class Parallel>
void add_ghost_products(const double* k, std::int64_t rows, const D* const* dy, int tasks, std::int64_t outputs, double* gram,
                        const Parallel& parallel, Isa isa) {
  const std::int64_t padded = (rows + ghost_height - 1) / ghost_height * ghost_height;
  const std::int64_t panels = (outputs + ghost_width - 1) / ghost_width;
  const std::int64_t entries = std::int64_t{tasks} * tasks;
  AlignedDoubles partial(panels * entries);
  std::fill(partial.data(), partial.data() + panels * entries, 0.0);
  parallel(std::int64_t{0}, panels, std::int64_t{1}, [&](std::int64_t first, std::int64_t last) {
    const std::int64_t size = padded * ghost_width;
    AlignedDoubles d(tasks * size);  // the panel's columns of every dy_i, zeros below and beside
    AlignedDoubles lanes(tasks * ghost_width);
    double y[ghost_height * ghost_width];
    std::fill(d.data(), d.data() + tasks * size, 0.0);
    for (std::int64_t panel = first; panel < last; ++panel) {
      const std::int64_t column = panel * ghost_width;
      const std::int64_t width = std::min(ghost_width, outputs - column);
      for (int i = 0; i < tasks; ++i) {
        for (std::int64_t n = 0; n < rows; ++n) {
          double* const to = d.data() + i * size + n * ghost_width;
          widen(isa, dy[i] + n * outputs + column, width, to);
          std::fill(to + width, to + ghost_width, 0.0);
        }
      }
      for (int i = 0; i < tasks; ++i) {
        std::fill(lanes.data(), lanes.data() + tasks * ghost_width, 0.0);
        for (std::int64_t n = 0; n < padded; n += ghost_height) {
          ghost_block(isa, k + n * rows, d.data() + i * size, rows, y);
          for (int j = i; j < tasks; ++j) {
            ghost_dot(isa, y, d.data() + j * size + n * ghost_width, lanes.data() + j * ghost_width);
          }
        }
        for (int j = i; j < tasks; ++j) {
          partial.data()[panel * entries + i * tasks + j] = fold_lanes(lanes.data() + j * ghost_width);
        }
      }
    }
  });
  fold_rows(partial.data(), panels, entries);
  for (int i = 0; i < tasks; ++i) {
    for (int j = i; j < tasks; ++j) {
      const double dot = partial.data()[i * tasks + j];
      gram[i * tasks + j] += dot;
      if (i != j) {
        gram[j * tasks + i] += dot;
      }
    }
  }
}

}  // namespace detail

/// Adds the Gram matrix of the weight gradients of a linear layer, G_i = dy_i^T x, without forming them, to
/// gram[i * tasks + j]: M_ij = <G_i, G_j> = sum_nm K_nm <dy_i[n], dy_j[m]> = <K dy_i, dy_j> with K = x x^T; the bias gradient
/// sum_n dy_i[n] is one more column of G_i, which adds 1 to K.
///
/// x is [rows, inputs] and each dy_i [rows, outputs], row-major without gaps. It takes rows^2 (inputs / 2 + tasks outputs)
/// double multiply-adds where the gradients take rows inputs outputs tasks in float, and scratch of 2 rows^2 + 1024 rows doubles
/// and 16 tasks rows a thread where those take tasks inputs outputs floats.
///
/// Products of float and half inputs are exact, all else is rounded to double, so that
///   |error of M_ij| <= 2^-52 (rows + inputs / 2048 + 64) a_i a_j,   a_i = sum_n ||dy_i[n]|| ||x[n]||.
/// a_i is what n_i = ||G_i|| would be if no two samples' gradients cancelled: for 64 rows of 1024 inputs the bound is 1e-12
/// n_i n_j as long as a_i a_j <= 35 n_i n_j (random signs: a_i = 8 n_i). Against stronger cancellation the entry is worse by
/// that factor, yet better than from G_i formed in float, which is off by 2^-24 a_i already. Deterministic for
/// any number of threads; a power of two that scales x or all dy_i scales the matrix bit for bit. NaN and infinities in dy_i
/// reach row and column i alone, in x all entries.
template <class X, class D, class Parallel = SerialFor>
void add_ghost_gram(const X* x, std::int64_t rows, std::int64_t inputs, const D* const* dy, int tasks, std::int64_t outputs,
                    bool with_bias, double* gram, const Parallel& parallel = Parallel(), Isa isa = best_isa()) {
  if (rows <= 0 || outputs <= 0 || tasks <= 0) {
    return;
  }
  detail::AlignedDoubles k = detail::ghost_columns(x, rows, inputs, with_bias, parallel, isa);
  detail::add_ghost_products(k.data(), rows, dy, tasks, outputs, gram, parallel, isa);
}

}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
