// SPDX-License-Identifier: Apache-2.0
#pragma once

// The kernels carry their own instruction sets: a program built with plain -O2 still uses what its CPU has.
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define FULLER_CPU_X86 1
#include <cpuid.h>
#include <immintrin.h>
#define FULLER_TARGET_AVX2 __attribute__((target("avx2,fma,f16c")))
#define FULLER_TARGET_AVX512 __attribute__((target("avx512f,avx2,fma,f16c")))
#else
#define FULLER_CPU_X86 0
#endif

namespace fuller {
inline namespace v0_1 {
namespace cpu {

/// Which variant of a kernel runs. Every variant sums in the same order, so for float and half inputs, whose products are exact
/// in double, all three give the same bits.
enum class Isa { generic, avx2, avx512 };

/// The widest variant this CPU and operating system run; found once.
inline Isa best_isa() {
#if FULLER_CPU_X86
  static const Isa found = [] {
    unsigned eax = 0;
    unsigned ebx = 0;
    unsigned ecx = 0;
    unsigned edx = 0;
    const bool half_conversions = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & (1U << 29U)) != 0;
    __builtin_cpu_init();
    if (!half_conversions || !__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) {
      return Isa::generic;
    }
    return __builtin_cpu_supports("avx512f") ? Isa::avx512 : Isa::avx2;
  }();
  return found;
#else
  return Isa::generic;
#endif
}

}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
