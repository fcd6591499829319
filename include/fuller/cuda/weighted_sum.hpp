// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <fuller/core/host_device.hpp>
#include <fuller/cuda/block.hpp>
#include <fuller/cuda/table.hpp>
#include <fuller/cuda/unroll.hpp>
#include <fuller/cuda/vector.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {
namespace detail {

struct SumArguments {
  Table table;  ///< T cotangents and, last, the tensor that is written
  const double* weights = nullptr;
};

/// out = sum_i w_i x_i, in float for float and half types and in double for double, the tasks in their order. A cotangent that is
/// null or of weight 0 is left out by selection, and not read; a NaN weight propagates.
template <class E>
struct WeightedSum {
  static constexpr int shared_doubles = max_tasks;

  template <class Block>
  FULLER_HD static void run(const Block& block, const SumArguments& a) {
    double* const weights = block.shared();
    const int T = a.table.count - 1;
    for (int i = block.thread(); i < T; i += block_threads) {
      weights[i] = a.weights[i];
    }
    block.sync();
    int entry = 0;
    for (std::int64_t u = block.index(); u < a.table.units; u += block.count()) {
      const Unit unit = unit_at(a.table, u, entry);
      entry = unit.entry;
      const bool in_rows = a.table.dims(entry) == 0;
      for (std::int64_t e = unit.begin + block.thread() * width; e < unit.end; e += std::int64_t{block_threads} * width) {
        const auto count = static_cast<int>(least(width, unit.end - e));
        Real sums[width] = {};
        if (in_rows) {
          add_rows(a.table, entry, e, count, weights, T, sums);
        } else {
          add_strided(a.table, entry, e, count, weights, T, sums);
        }
        Words out{};
        FULLER_UNROLL
        for (int v = 0; v < width; ++v) {
          E rounded;
          narrow(sums[v], rounded);
          set(out, v, rounded);
        }
        store_elements(a.table, entry, T, e, count, out);
      }
    }
  }

 private:
  using Real = typename Wide<E>::type;
  static constexpr int width = vector_width<E>;
  static constexpr int at_once = 4;  // loads in flight

  FULLER_HD static void add(const Words& words, Real w, Real (&sums)[width]) {
    FULLER_UNROLL
    for (int v = 0; v < width; ++v) {
      sums[v] = std::fma(w, wide_at<E>(words, v), sums[v]);
    }
  }

  FULLER_HD static void add_rows(const Table& table, int entry, std::int64_t e, int count, const double* weights, int T,
                                 Real (&sums)[width]) {
    const bool aligned = table.is_aligned(entry);
    for (int first = 0; first < T; first += at_once) {
      Words words[at_once];
      double w[at_once];  // 0 for what is left out
      FULLER_UNROLL
      for (int k = 0; k < at_once; ++k) {
        const E* const x = first + k < T ? static_cast<const E*>(table.data(entry, first + k)) : nullptr;
        w[k] = x != nullptr ? weights[first + k] : 0;
        words[k] = w[k] != 0 ? load_some(x + e, count, aligned) : Words{};
      }
      FULLER_UNROLL
      for (int k = 0; k < at_once; ++k) {
        if (w[k] != 0) {
          add(words[k], static_cast<Real>(w[k]), sums);
        }
      }
    }
  }

  FULLER_HD static void add_strided(const Table& table, int entry, std::int64_t e, int count, const double* weights, int T,
                                    Real (&sums)[width]) {
    for (int i = 0; i < T; ++i) {
      if (table.data(entry, i) != nullptr && weights[i] != 0) {
        add(load_elements<E>(table, entry, i, e, count), static_cast<Real>(weights[i]), sums);
      }
    }
  }

  FULLER_HD static void store_elements(const Table& table, int entry, int i, std::int64_t e, int count, const Words& words) {
    E* const to = static_cast<E*>(const_cast<void*>(table.data(entry, i)));
    if (table.dims(entry) == 0) {
      store_some(words, to + e, count, table.is_aligned(entry));
      return;
    }
    FULLER_UNROLL
    for (int v = 0; v < vector_width<E>; ++v) {
      if (v < count) {
        get(words, v, to[strided_offset(table, entry, i, e + v)]);
      }
    }
  }
};

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
