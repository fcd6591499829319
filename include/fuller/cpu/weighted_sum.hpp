// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <vector>

#include <fuller/cpu/blocks.hpp>
#include <fuller/cpu/element.hpp>
#include <fuller/cpu/isa.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cpu {
namespace detail {

/// The type a weighted sum of T is held in: double for double, float for all others.
template <class T>
using Accumulator = std::conditional_t<std::is_same_v<T, double>, double, float>;

inline double accumulate_from(double x) { return x; }
inline float accumulate_from(float x) { return x; }
inline float accumulate_from(Half x) { return to_float(x); }
inline float accumulate_from(BFloat16 x) { return to_float(x); }

inline void round_to(double sum, double* out) { *out = sum; }
inline void round_to(float sum, float* out) { *out = sum; }
inline void round_to(float sum, Half* out) { *out = to_half(sum); }
inline void round_to(float sum, BFloat16* out) { *out = to_bfloat16(sum); }

/// out[e] = sum_i w_i x_i[e] for the elements [begin, end), count >= 1.
template <class T>
void weighted_range(const T* const* x, const Accumulator<T>* w, std::size_t count, std::int64_t begin, std::int64_t end, T* out) {
  for (std::int64_t e = begin; e < end; ++e) {
    Accumulator<T> sum = w[0] * accumulate_from(x[0][e]);
    for (std::size_t i = 1; i < count; ++i) {
      sum += w[i] * accumulate_from(x[i][e]);
    }
    round_to(sum, out + e);
  }
}

#if FULLER_CPU_X86

/// The elements that fill no vector; fused as the vectors are, so that where a range ends does not show in the result.
template <class T>
FULLER_TARGET_AVX2 void weighted_tail(const T* const* x, const Accumulator<T>* w, std::size_t count, std::int64_t begin,
                                      std::int64_t end, T* out) {
  for (std::int64_t e = begin; e < end; ++e) {
    Accumulator<T> sum = w[0] * accumulate_from(x[0][e]);
    for (std::size_t i = 1; i < count; ++i) {
      if constexpr (std::is_same_v<T, double>) {
        sum = __builtin_fma(w[i], x[i][e], sum);
      } else {
        sum = __builtin_fmaf(w[i], accumulate_from(x[i][e]), sum);
      }
    }
    round_to(sum, out + e);
  }
}

FULLER_TARGET_AVX512 inline void weighted_avx512(const double* const* x, const double* w, std::size_t count, std::int64_t begin,
                                                 std::int64_t end, double* out) {
  std::int64_t e = begin;
  for (; e + 16 <= end; e += 16) {
    const __m512d first = _mm512_set1_pd(w[0]);
    __m512d low = _mm512_mul_pd(first, _mm512_loadu_pd(x[0] + e));
    __m512d high = _mm512_mul_pd(first, _mm512_loadu_pd(x[0] + e + 8));
    for (std::size_t i = 1; i < count; ++i) {
      const __m512d weight = _mm512_set1_pd(w[i]);
      low = _mm512_fmadd_pd(weight, _mm512_loadu_pd(x[i] + e), low);
      high = _mm512_fmadd_pd(weight, _mm512_loadu_pd(x[i] + e + 8), high);
    }
    _mm512_storeu_pd(out + e, low);
    _mm512_storeu_pd(out + e + 8, high);
  }
  weighted_tail(x, w, count, e, end, out);
}

FULLER_TARGET_AVX512 inline void weighted_avx512(const float* const* x, const float* w, std::size_t count, std::int64_t begin,
                                                 std::int64_t end, float* out) {
  std::int64_t e = begin;
  for (; e + 32 <= end; e += 32) {
    const __m512 first = _mm512_set1_ps(w[0]);
    __m512 low = _mm512_mul_ps(first, _mm512_loadu_ps(x[0] + e));
    __m512 high = _mm512_mul_ps(first, _mm512_loadu_ps(x[0] + e + 16));
    for (std::size_t i = 1; i < count; ++i) {
      const __m512 weight = _mm512_set1_ps(w[i]);
      low = _mm512_fmadd_ps(weight, _mm512_loadu_ps(x[i] + e), low);
      high = _mm512_fmadd_ps(weight, _mm512_loadu_ps(x[i] + e + 16), high);
    }
    _mm512_storeu_ps(out + e, low);
    _mm512_storeu_ps(out + e + 16, high);
  }
  weighted_tail(x, w, count, e, end, out);
}

FULLER_TARGET_AVX2 inline void weighted_avx2(const double* const* x, const double* w, std::size_t count, std::int64_t begin,
                                             std::int64_t end, double* out) {
  std::int64_t e = begin;
  for (; e + 8 <= end; e += 8) {
    const __m256d first = _mm256_set1_pd(w[0]);
    __m256d low = _mm256_mul_pd(first, _mm256_loadu_pd(x[0] + e));
    __m256d high = _mm256_mul_pd(first, _mm256_loadu_pd(x[0] + e + 4));
    for (std::size_t i = 1; i < count; ++i) {
      const __m256d weight = _mm256_set1_pd(w[i]);
      low = _mm256_fmadd_pd(weight, _mm256_loadu_pd(x[i] + e), low);
      high = _mm256_fmadd_pd(weight, _mm256_loadu_pd(x[i] + e + 4), high);
    }
    _mm256_storeu_pd(out + e, low);
    _mm256_storeu_pd(out + e + 4, high);
  }
  weighted_tail(x, w, count, e, end, out);
}

FULLER_TARGET_AVX2 inline __m256 load8_float(const float* p) { return _mm256_loadu_ps(p); }
FULLER_TARGET_AVX2 inline __m256 load8_float(const Half* p) {
  return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
FULLER_TARGET_AVX2 inline __m256 load8_float(const BFloat16* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

FULLER_TARGET_AVX2 inline void store8(__m256 sum, float* p) { _mm256_storeu_ps(p, sum); }
FULLER_TARGET_AVX2 inline void store8(__m256 sum, Half* p) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(sum, _MM_FROUND_TO_NEAREST_INT));
}
/// Nearest, ties to even, as to_bfloat16 rounds; NaN keeps its upper bits and becomes quiet.
FULLER_TARGET_AVX2 inline void store8(__m256 sum, BFloat16* p) {
  const __m256i bits = _mm256_castps_si256(sum);
  const __m256i upper = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(upper, _mm256_set1_epi32(1));
  const __m256i nearest = _mm256_srli_epi32(_mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd), 16);
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(sum, sum, _CMP_UNORD_Q));
  const __m256i rounded = _mm256_blendv_epi8(nearest, quiet, is_nan);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1)));
}

/// float, Half and BFloat16.
template <class T>
FULLER_TARGET_AVX2 void weighted_avx2(const T* const* x, const float* w, std::size_t count, std::int64_t begin, std::int64_t end,
                                      T* out) {
  std::int64_t e = begin;
  for (; e + 16 <= end; e += 16) {
    const __m256 first = _mm256_set1_ps(w[0]);
    __m256 low = _mm256_mul_ps(first, load8_float(x[0] + e));
    __m256 high = _mm256_mul_ps(first, load8_float(x[0] + e + 8));
    for (std::size_t i = 1; i < count; ++i) {
      const __m256 weight = _mm256_set1_ps(w[i]);
      low = _mm256_fmadd_ps(weight, load8_float(x[i] + e), low);
      high = _mm256_fmadd_ps(weight, load8_float(x[i] + e + 8), high);
    }
    store8(low, out + e);
    store8(high, out + e + 8);
  }
  weighted_tail(x, w, count, e, end, out);
}

/// The half types are narrow enough for the 256-bit variant to keep up with memory.
template <class T>
FULLER_TARGET_AVX2 void weighted_avx512(const T* const* x, const float* w, std::size_t count, std::int64_t begin,
                                        std::int64_t end, T* out) {
  weighted_avx2(x, w, count, begin, end, out);
}

#endif

}  // namespace detail

/// out[e] = sum_i weights[i] x_i[e] over `count` arrays of n elements, in one pass: (count + 1) n elements of memory traffic.
///
/// Summed in task order, in double for double and in float for all others, each weight rounded to that type first; Half and
/// BFloat16 are rounded once, at the end. Weights of 1 give the sum that additions in task order give. Where weights[i] == 0,
/// x_i is left out, not multiplied: it may hold NaN, and may be null. Without any other weight, out is 0. A NaN weight makes
/// everything NaN. x_i may alias each other and are not written; out must overlap none of them. Deterministic for any number of
/// threads; between instruction sets the last bit may differ (fused or separate rounding).
/// Host memory without alignment beyond the type's; allocates two small arrays; never syncs.
template <class T, class Parallel = SerialFor>
void weighted_sum(const T* const* arrays, const double* weights, int count, std::int64_t n, T* out,
                  const Parallel& parallel = Parallel(), Isa isa = best_isa()) {
  std::vector<const T*> x;
  std::vector<detail::Accumulator<T>> w;
  for (int i = 0; i < count; ++i) {
    if (weights[i] != 0.0) {
      x.push_back(arrays[i]);
      w.push_back(static_cast<detail::Accumulator<T>>(weights[i]));
    }
  }
  parallel(std::int64_t{0}, n, std::int64_t{32768}, [&](std::int64_t begin, std::int64_t end) {
    if (x.empty()) {
      std::fill(out + begin, out + end, T{});
      return;
    }
#if FULLER_CPU_X86
    if (isa == Isa::avx512) {
      return detail::weighted_avx512(x.data(), w.data(), x.size(), begin, end, out);
    }
    if (isa == Isa::avx2) {
      return detail::weighted_avx2(x.data(), w.data(), x.size(), begin, end, out);
    }
#else
    static_cast<void>(isa);
#endif
    detail::weighted_range(x.data(), w.data(), x.size(), begin, end, out);
  });
}

}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
