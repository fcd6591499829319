// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/cpu/element.hpp>
#include <fuller/cpu/isa.hpp>

// Loads that turn elements of any type into double vectors, exactly. No alignment is asked for.

namespace fuller {
inline namespace v0_1 {
namespace cpu {
namespace detail {

#if FULLER_CPU_X86

FULLER_TARGET_AVX512 inline __m512d load8(const double* p) { return _mm512_loadu_pd(p); }
// The masked form with a full mask is the same instruction without GCC's undefined pass-through operand, which it warns about.
FULLER_TARGET_AVX512 inline __m512d load8(const float* p) {
  return _mm512_maskz_cvtps_pd(static_cast<__mmask8>(0xFF), _mm256_loadu_ps(p));
}
FULLER_TARGET_AVX512 inline __m512d load8(const Half* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return _mm512_maskz_cvtps_pd(static_cast<__mmask8>(0xFF), _mm256_cvtph_ps(bits));
}
FULLER_TARGET_AVX512 inline __m512d load8(const BFloat16* p) {
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m256i upper = _mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16);
  return _mm512_maskz_cvtps_pd(static_cast<__mmask8>(0xFF), _mm256_castsi256_ps(upper));
}

FULLER_TARGET_AVX2 inline __m256d load4(const double* p) { return _mm256_loadu_pd(p); }
FULLER_TARGET_AVX2 inline __m256d load4(const float* p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }
FULLER_TARGET_AVX2 inline __m256d load4(const Half* p) {
  return _mm256_cvtps_pd(_mm_cvtph_ps(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
FULLER_TARGET_AVX2 inline __m256d load4(const BFloat16* p) {
  const __m128i bits = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return _mm256_cvtps_pd(_mm_castsi128_ps(_mm_slli_epi32(_mm_cvtepu16_epi32(bits), 16)));
}

template <class T>
FULLER_TARGET_AVX512 void widen_avx512(const T* from, std::int64_t n, double* to) {
  std::int64_t e = 0;
  for (; e + 8 <= n; e += 8) {
    _mm512_storeu_pd(to + e, load8(from + e));
  }
  for (; e < n; ++e) {
    to[e] = to_double(from[e]);
  }
}

template <class T>
FULLER_TARGET_AVX2 void widen_avx2(const T* from, std::int64_t n, double* to) {
  std::int64_t e = 0;
  for (; e + 4 <= n; e += 4) {
    _mm256_storeu_pd(to + e, load4(from + e));
  }
  for (; e < n; ++e) {
    to[e] = to_double(from[e]);
  }
}

#endif

/// to[e] = from[e] for n elements.
template <class T>
void widen(Isa isa, const T* from, std::int64_t n, double* to) {
#if FULLER_CPU_X86
  if (isa == Isa::avx512) {
    return widen_avx512(from, n, to);
  }
  if (isa == Isa::avx2) {
    return widen_avx2(from, n, to);
  }
#else
  static_cast<void>(isa);
#endif
  for (std::int64_t e = 0; e < n; ++e) {
    to[e] = to_double(from[e]);
  }
}

}  // namespace detail
}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
