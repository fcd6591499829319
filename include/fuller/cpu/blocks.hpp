// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

namespace fuller {
inline namespace v0_1 {
namespace cpu {

/// Runs f(begin, end) in the calling thread. Kernels take any callable of this shape, `at::parallel_for` included: f may be
/// called for any partition of [begin, end) into ranges, in any order and from any thread.
struct SerialFor {
  template <class F>
  void operator()(std::int64_t begin, std::int64_t end, std::int64_t /*grain*/, const F& f) const {
    if (begin < end) {
      f(begin, end);
    }
  }
};

namespace detail {

/// A range of n elements cut into blocks, as n alone decides: a block has its own partial sum whoever computes it, so that the
/// result knows nothing of the threads. At most 256 blocks bound the scratch.
struct Blocks {
  static constexpr std::int64_t stretch = 4096;  ///< elements after which 16 running lanes are folded into one sum

  explicit Blocks(std::int64_t n) : total(n) {
    const std::int64_t even = (n + 255) / 256;
    size = std::max<std::int64_t>(4 * stretch, (even + stretch - 1) / stretch * stretch);
    count = (n + size - 1) / size;
  }
  std::int64_t begin(std::int64_t block) const { return block * size; }
  std::int64_t end(std::int64_t block) const { return std::min(total, (block + 1) * size); }

  std::int64_t total;
  std::int64_t size;
  std::int64_t count;
};

/// Sums `count` rows of `width` doubles into the first, pairwise: the error grows with log2(count).
inline void fold_rows(double* rows, std::int64_t count, std::int64_t width) {
  for (std::int64_t step = 1; step < count; step *= 2) {
    for (std::int64_t row = 0; row + step < count; row += 2 * step) {
      for (std::int64_t k = 0; k < width; ++k) {
        rows[row * width + k] += rows[(row + step) * width + k];
      }
    }
  }
}

/// Sixteen lanes to one sum, in the order that halves vectors; every variant of every kernel folds through here.
inline double fold_lanes(const double* lanes) {
  double half[8];
  for (int l = 0; l < 8; ++l) {
    half[l] = lanes[l] + lanes[l + 8];
  }
  return ((half[0] + half[4]) + (half[2] + half[6])) + ((half[1] + half[5]) + (half[3] + half[7]));
}

/// Uninitialised doubles on a cache line's boundary.
class AlignedDoubles {
 public:
  explicit AlignedDoubles(std::int64_t size) : storage_(new double[static_cast<std::size_t>(size) + 8]) {
    void* address = storage_.get();
    std::size_t space = (static_cast<std::size_t>(size) + 8) * sizeof(double);
    data_ = static_cast<double*>(std::align(64, static_cast<std::size_t>(size) * sizeof(double), address, space));
  }
  double* data() { return data_; }

 private:
  std::unique_ptr<double[]> storage_;
  double* data_;
};

}  // namespace detail
}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
