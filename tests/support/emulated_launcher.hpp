// SPDX-License-Identifier: Apache-2.0
#pragma once

// fuller/cuda's requests on the host: the kernels themselves, on emulated blocks; and data of every element type.

#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <fuller/cuda/launch.hpp>

#include "support/emulated_block.hpp"

namespace fuller::testing {

/// Runs what a request launches, on at most `most_blocks` blocks.
class EmulatedLauncher {
 public:
  explicit EmulatedLauncher(Turns turns = Turns::rising, unsigned most_blocks = 7) : turns_(turns), most_blocks_(most_blocks) {}

  template <class Kernel>
  bool gram(unsigned blocks, const cuda::detail::GramArguments& arguments, const cuda::RuleCall& call) const {
    run<Kernel>(blocks, [&](const EmulatedGrid& block) {
      Kernel::run(block, arguments,
                  [&](EmulatedWarp warp, double* shared, int size) { cuda::run_rule(warp, call, shared, size); });
    });
    return true;
  }
  template <class Kernel>
  bool norms(unsigned blocks, const cuda::detail::NormArguments& arguments, const cuda::GateCall& call) const {
    run<Kernel>(blocks, [&](const EmulatedGrid& block) {
      Kernel::run(block, arguments,
                  [&](EmulatedWarp warp, double* shared, int size) { cuda::run_gate(warp, call, shared, size); });
    });
    return true;
  }
  template <class Kernel>
  bool sum(unsigned blocks, const cuda::detail::SumArguments& arguments) const {
    run<Kernel>(blocks, [&](const EmulatedGrid& block) { Kernel::run(block, arguments); });
    return true;
  }
  template <class Kernel>
  bool scale(unsigned blocks, const cuda::detail::ScaleArguments& arguments) const {
    run<Kernel>(blocks, [&](const EmulatedGrid& block) { Kernel::run(block, arguments); });
    return true;
  }
  bool call(const cuda::RuleCall& what) const {
    EmulatedGrid(1, 1, turns_).run([&](EmulatedGrid& grid) {
      if (grid.thread() < EmulatedWarp::count) cuda::run_rule(EmulatedWarp(grid), what, nullptr, 0);
    });
    return true;
  }
  bool call(const cuda::GateCall& what) const {
    EmulatedGrid(1, 1, turns_).run([&](EmulatedGrid& grid) {
      if (grid.thread() < EmulatedWarp::count) cuda::run_gate(EmulatedWarp(grid), what, nullptr, 0);
    });
    return true;
  }

  /// Launches so far: how often a request needed another table.
  int launches() const { return launches_; }

 private:
  template <class Kernel, class Body>
  void run(unsigned blocks, const Body& body) const {
    ++launches_;
    EmulatedGrid(blocks < most_blocks_ ? blocks : most_blocks_, Kernel::shared_doubles, turns_).run(body);
  }

  Turns turns_;
  unsigned most_blocks_;
  mutable int launches_ = 0;
};

template <class E>
constexpr cuda::Element element_of() {
  return std::is_same_v<E, float>        ? cuda::Element::float32
         : std::is_same_v<E, double>     ? cuda::Element::float64
         : std::is_same_v<E, cuda::Half> ? cuda::Element::float16
                                         : cuda::Element::bfloat16;
}

template <class E>
E rounded_to(double x) {
  E out;
  if constexpr (std::is_same_v<E, double>) {
    out = x;
  } else {
    cuda::detail::narrow(static_cast<float>(x), out);
  }
  return out;
}

template <class E>
double exact(E x) {
  return static_cast<double>(cuda::detail::widen(x));
}

/// Normally distributed elements around `mean`.
template <class E>
std::vector<E> normal_numbers(std::int64_t n, unsigned seed, double mean = 0, double scale = 1) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(mean, 1);
  std::vector<E> numbers;
  for (std::int64_t e = 0; e < n; ++e) {
    numbers.push_back(rounded_to<E>(scale * normal(random)));
  }
  return numbers;
}

/// A tensor's shape and strides, kept for its view.
struct Layout {
  std::vector<std::int64_t> sizes;
  std::vector<std::int64_t> strides;

  cuda::TensorView view(const void* data) const { return {data, static_cast<int>(sizes.size()), sizes.data(), strides.data()}; }
  std::int64_t count() const {
    std::int64_t n = 1;
    for (const std::int64_t size : sizes) n *= size;
    return n;
  }
  /// Where the element with row-major number e is.
  std::int64_t offset(std::int64_t e) const {
    std::int64_t at = 0;
    for (std::size_t d = sizes.size(); d-- > 0; e /= sizes[d]) at += e % sizes[d] * strides[d];
    return at;
  }
};

inline Layout row(std::int64_t n) { return {{n}, {1}}; }

}  // namespace fuller::testing
