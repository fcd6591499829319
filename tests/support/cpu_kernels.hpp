// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the tests of the CPU kernels share: every instruction set this machine has, other people's threads, and data of any type.

#include <algorithm>
#include <cstdint>
#include <random>
#include <thread>
#include <vector>

#include <fuller/cpu/element.hpp>
#include <fuller/cpu/isa.hpp>

namespace fuller::testing {

inline std::vector<cpu::Isa> available_isas() {
  std::vector<cpu::Isa> isas{cpu::Isa::generic};
  if (cpu::best_isa() != cpu::Isa::generic) {
    isas.push_back(cpu::Isa::avx2);
  }
  if (cpu::best_isa() == cpu::Isa::avx512) {
    isas.push_back(cpu::Isa::avx512);
  }
  return isas;
}

/// Cuts the range into `threads` unequal parts and runs the last first, on threads of its own.
struct ThreadedFor {
  int threads;

  template <class F>
  void operator()(std::int64_t begin, std::int64_t end, std::int64_t /*grain*/, const F& f) const {
    std::vector<std::thread> running;
    std::int64_t to = end;
    for (int t = threads; t > 0 && to > begin; --t) {
      const std::int64_t from = t == 1 ? begin : std::max(begin, to - std::max<std::int64_t>(1, (to - begin) / t + t - 2));
      running.emplace_back([&f, from, to] { f(from, to); });
      to = from;
    }
    for (std::thread& thread : running) {
      thread.join();
    }
  }
};

template <class T>
T make_element(double value) {
  return static_cast<T>(value);
}
template <>
inline cpu::Half make_element<cpu::Half>(double value) {
  return cpu::to_half(static_cast<float>(value));
}
template <>
inline cpu::BFloat16 make_element<cpu::BFloat16>(double value) {
  return cpu::to_bfloat16(static_cast<float>(value));
}

/// n normal deviates around `mean`, times `scale`.
template <class T>
std::vector<T> normal_elements(std::int64_t n, unsigned seed, double mean = 0.3, double scale = 1.0) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal(mean, 1.0);
  std::vector<T> values(static_cast<std::size_t>(n));
  for (T& value : values) {
    value = make_element<T>(normal(generator) * scale);
  }
  return values;
}

}  // namespace fuller::testing
