// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <cstring>

#include <fuller/core/host_device.hpp>
#include <fuller/cuda/element.hpp>
#include <fuller/cuda/unroll.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {
namespace detail {

/// Sixteen bytes of elements: what one thread reads or writes at once.
struct alignas(16) Words {
  std::uint32_t word[4];
};

/// One access of 16 bytes; `address` is a multiple of 16.
FULLER_HD inline Words load_aligned(const void* address) {
#if defined(__CUDA_ARCH__)
  const uint4 four = *static_cast<const uint4*>(address);
  return {{four.x, four.y, four.z, four.w}};
#else
  Words words;
  std::memcpy(&words, address, sizeof words);
  return words;
#endif
}

FULLER_HD inline void store_aligned(const Words& words, void* address) {
#if defined(__CUDA_ARCH__)
  *static_cast<uint4*>(address) = make_uint4(words.word[0], words.word[1], words.word[2], words.word[3]);
#else
  std::memcpy(address, &words, sizeof words);
#endif
}

FULLER_HD inline void get(const Words& words, int k, float& x) { x = as_float(words.word[k]); }
FULLER_HD inline void get(const Words& words, int k, double& x) {
  const std::uint64_t bits = static_cast<std::uint64_t>(words.word[2 * k + 1]) << 32U | words.word[2 * k];
  std::memcpy(&x, &bits, sizeof x);
}
FULLER_HD inline void get(const Words& words, int k, Half& x) {
  x.bits = static_cast<std::uint16_t>(words.word[k / 2] >> (k % 2 * 16));
}
FULLER_HD inline void get(const Words& words, int k, BFloat16& x) {
  x.bits = static_cast<std::uint16_t>(words.word[k / 2] >> (k % 2 * 16));
}

FULLER_HD inline void set(Words& words, int k, float x) { words.word[k] = as_bits(x); }
FULLER_HD inline void set(Words& words, int k, double x) {
  std::uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  words.word[2 * k] = static_cast<std::uint32_t>(bits);
  words.word[2 * k + 1] = static_cast<std::uint32_t>(bits >> 32U);
}
FULLER_HD inline void set_16_bits(Words& words, int k, std::uint32_t bits) {
  const int shift = k % 2 * 16;
  words.word[k / 2] = (words.word[k / 2] & ~(0xFFFFU << shift)) | bits << shift;
}
FULLER_HD inline void set(Words& words, int k, Half x) { set_16_bits(words, k, x.bits); }
FULLER_HD inline void set(Words& words, int k, BFloat16 x) { set_16_bits(words, k, x.bits); }

/// Element k as the exact float or double it stands for.
template <class T>
FULLER_HD auto wide_at(const Words& words, int k) {
  T x;
  get(words, k, x);
  return widen(x);
}

/// The first `count` elements of 16 bytes, in one access where that is possible, and zeros after them.
template <class T>
FULLER_HD Words load_some(const T* from, int count, bool aligned) {
  constexpr int width = vector_width<T>;
  if (aligned && count >= width) {
    return load_aligned(from);
  }
  Words words{};
  FULLER_UNROLL
  for (int k = 0; k < width; ++k) {
    if (k < count) {
      set(words, k, from[k]);
    }
  }
  return words;
}

/// Writes the first `count` elements.
template <class T>
FULLER_HD void store_some(const Words& words, T* to, int count, bool aligned) {
  constexpr int width = vector_width<T>;
  if (aligned && count >= width) {
    store_aligned(words, to);
    return;
  }
  FULLER_UNROLL
  for (int k = 0; k < width; ++k) {
    if (k < count) {
      get(words, k, to[k]);
    }
  }
}

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
