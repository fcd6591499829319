// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <fuller/core/host_device.hpp>
#include <fuller/cuda/block.hpp>
#include <fuller/cuda/unroll.hpp>
#include <fuller/cuda/vector.hpp>
#include <fuller/cuda/views.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {
namespace detail {

/// Memory that is a row of runs, over and over: run m of a row holds `widths[m]` channels of `inner` elements. A dense weight
/// [O, C, k...] sliced along C is that, in any order of its dimensions.
struct Slices {
  std::int64_t n = 0;    ///< elements in all
  std::int64_t row = 1;  ///< elements of a row
  int count = 0;
  std::int64_t bounds[max_tasks + 1] = {};  ///< run m is [bounds[m], bounds[m + 1]) of a row

  FULLER_HD std::int64_t in_row(std::int64_t e) const {
    return n <= 0xFFFFFFFFLL ? static_cast<std::int64_t>(static_cast<std::uint32_t>(e) % static_cast<std::uint32_t>(row))
                             : e % row;
  }
};

inline Slices make_slices(std::int64_t outer, const std::int64_t* widths, int count, std::int64_t inner) {
  Slices slices;
  slices.count = count;
  for (int m = 0; m < count; ++m) {
    slices.bounds[m + 1] = slices.bounds[m] + widths[m] * inner;
  }
  slices.row = slices.bounds[count] > 0 ? slices.bounds[count] : 1;
  slices.n = outer * slices.bounds[count];
  return slices;
}

/// r + by in a row that begins again at its end; by < row.
FULLER_HD constexpr std::int64_t further(std::int64_t r, std::int64_t by, std::int64_t row) {
  return r + by < row ? r + by : r + by - row;
}

struct NormArguments {
  Slices slices;
  const void* data = nullptr;
  bool aligned = false;
  std::int64_t unit = 0;
  double* partials = nullptr;  ///< M doubles for each unit
  unsigned* ticket = nullptr;
  double* squared_norms = nullptr;
  int first = 0;  ///< the slices [first, first + M) are this launch's
};

/// The squared norms of up to M slices of one weight, then finish(warp, shared, doubles of it) in warp 0 of the last block.
template <int M, class E>
struct SliceNorms {
  static constexpr int shared_doubles = 512;

  template <class Block, class Finish>
  FULLER_HD static void run(const Block& block, const NormArguments& a, const Finish& finish) {
    const std::int64_t units = ceil_divide(a.slices.n, a.unit);
    for (std::int64_t u = block.index(); u < units; u += block.count()) {
      double sums[M] = {};
      add_unit(a, block.thread(), u * a.unit, least(a.slices.n, (u + 1) * a.unit), sums);
      double* const slot = a.partials + u * M;
      sum_over_block(block, sums, block.shared(), [slot](int m, double sum) { slot[m] = sum; });
    }
    if (!is_last_block(block, a.ticket)) {
      return;
    }
    double sums[M] = {};
    for (std::int64_t s = block.thread(); s < units; s += block_threads) {
      FULLER_UNROLL
      for (int m = 0; m < M; ++m) {
        sums[m] += block.fresh(a.partials + s * M + m);
      }
    }
    sum_over_block(block, sums, block.shared(), [&a](int m, double sum) {
      if (a.first + m < a.slices.count) {
        a.squared_norms[a.first + m] = sum;
      }
    });
    if (block.thread() < warp_threads) {
      finish(block.warp(), block.shared(), shared_doubles);
    }
  }

 private:
  FULLER_HD static void add_unit(const NormArguments& a, int thread, std::int64_t begin, std::int64_t end, double (&sums)[M]) {
    constexpr int width = vector_width<E>;
    constexpr std::int64_t stride = std::int64_t{block_threads} * width;
    const std::int64_t row = a.slices.row;
    const std::int64_t stride_in_row = stride % row;
    std::int64_t bounds[M + 1];
    FULLER_UNROLL
    for (int m = 0; m <= M; ++m) {
      bounds[m] = a.slices.bounds[least(a.first + m, a.slices.count)];
    }
    const E* const x = static_cast<const E*>(a.data);
    std::int64_t e = begin + thread * width;
    std::int64_t r = a.slices.in_row(e < end ? e : 0);
    for (; e < end; e += stride) {
      const Words words = load_some(x + e, static_cast<int>(least(width, end - e)), a.aligned);
      std::int64_t at = r;
      FULLER_UNROLL
      for (int v = 0; v < width; ++v) {
        const auto value = static_cast<double>(wide_at<E>(words, v));
        FULLER_UNROLL
        for (int m = 0; m < M; ++m) {
          sums[m] = at >= bounds[m] && at < bounds[m + 1] ? std::fma(value, value, sums[m]) : sums[m];
        }
        at = further(at, 1, row);
      }
      r = further(r, stride_in_row, row);
    }
  }
};

struct ScaleArguments {
  Slices slices;
  const void* in = nullptr;
  void* out = nullptr;  ///< may be `in`
  bool aligned = false;
  const double* scales = nullptr;
};

/// out = in times the scale of its slice. By selection: what is scaled by 0 becomes 0, NaN or not; what is scaled by 1 stays as
/// it is, bit for bit.
template <class E>
struct SliceScales {
  static constexpr int shared_doubles = max_tasks;

  template <class Block>
  FULLER_HD static void run(const Block& block, const ScaleArguments& a) {
    using Real = typename Wide<E>::type;
    constexpr int width = vector_width<E>;
    double* const scales = block.shared();
    for (int m = block.thread(); m < a.slices.count; m += block_threads) {
      scales[m] = a.scales[m];
    }
    block.sync();
    const E* const in = static_cast<const E*>(a.in);
    E* const out = static_cast<E*>(a.out);
    const std::int64_t stride = block.count() * block_threads * width;
    const std::int64_t stride_in_row = stride % a.slices.row;
    std::int64_t e = (block.index() * block_threads + block.thread()) * width;
    std::int64_t r = a.slices.in_row(e < a.slices.n ? e : 0);
    for (; e < a.slices.n; e += stride) {
      const auto count = static_cast<int>(least(width, a.slices.n - e));
      Words words = load_some(in + e, count, a.aligned);
      std::int64_t at = r;
      int slice = 0;
      FULLER_UNROLL
      for (int v = 0; v < width; ++v) {
        slice = v == 0 || at != 0 ? slice : 0;
        while (slice + 1 < a.slices.count && at >= a.slices.bounds[slice + 1]) {
          ++slice;
        }
        const double scale = scales[slice];
        if (scale == 0) {
          set(words, v, E{});
        } else if (scale != 1) {
          E scaled;
          narrow(static_cast<Real>(scale) * wide_at<E>(words, v), scaled);
          set(words, v, scaled);
        }
        at = further(at, 1, a.slices.row);
      }
      store_some(words, out + e, count, a.aligned);
      r = further(r, stride_in_row, a.slices.row);
    }
  }
};

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
