// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include <fuller/cpu/isa.hpp>

namespace fuller::bench {

/// The exclusive or of `lines` cache lines, by the cheapest instructions there are for reading: what memory allows at best.
inline std::uint64_t xor_of_lines(const std::uint64_t* from, std::int64_t lines) {
  std::uint64_t sums[8] = {};
  for (std::int64_t line = 0; line < lines; ++line) {
    for (int word = 0; word < 8; ++word) {
      sums[word] ^= from[line * 8 + word];
    }
  }
  std::uint64_t sum = 0;
  for (const std::uint64_t word : sums) {
    sum ^= word;
  }
  return sum;
}

#if FULLER_CPU_X86

FULLER_TARGET_AVX2 inline std::uint64_t xor_of_lines_avx2(const std::uint64_t* from, std::int64_t lines) {
  __m256i sum0 = _mm256_setzero_si256();
  __m256i sum1 = sum0;
  __m256i sum2 = sum0;
  __m256i sum3 = sum0;
  const __m256i* p = reinterpret_cast<const __m256i*>(from);
  for (std::int64_t line = 0; line < lines; line += 2, p += 4) {
    sum0 = _mm256_xor_si256(sum0, _mm256_loadu_si256(p));
    sum1 = _mm256_xor_si256(sum1, _mm256_loadu_si256(p + 1));
    sum2 = _mm256_xor_si256(sum2, _mm256_loadu_si256(p + 2));
    sum3 = _mm256_xor_si256(sum3, _mm256_loadu_si256(p + 3));
  }
  std::uint64_t words[4];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(words),
                      _mm256_xor_si256(_mm256_xor_si256(sum0, sum1), _mm256_xor_si256(sum2, sum3)));
  return words[0] ^ words[1] ^ words[2] ^ words[3];
}

#endif

/// Reads all of the tensors' memory once, on as many threads as ATen uses.
inline void streaming_read(const std::vector<at::Tensor>& tensors) {
  for (const at::Tensor& tensor : tensors) {
    const auto* const words = static_cast<const std::uint64_t*>(tensor.data_ptr());
    const std::int64_t blocks = static_cast<std::int64_t>(tensor.nbytes()) / 4096;
    at::parallel_for(0, blocks, 16, [&](std::int64_t begin, std::int64_t end) {
      const std::uint64_t* const from = words + begin * 512;
      const std::int64_t lines = (end - begin) * 64;
#if FULLER_CPU_X86
      if (cpu::best_isa() != cpu::Isa::generic) {
        benchmark::DoNotOptimize(xor_of_lines_avx2(from, lines));
        return;
      }
#endif
      benchmark::DoNotOptimize(xor_of_lines(from, lines));
    });
  }
}

}  // namespace fuller::bench
