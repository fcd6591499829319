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

/// What the kernels of the Gram matrix are given besides the tensors.
struct GramArguments {
  Table table;
  Element element = Element::float32;
  double* partials = nullptr;  ///< gram_width(T) doubles for each of all units
  unsigned* ticket = nullptr;
  double* gram = nullptr;  ///< T x T
  std::int64_t slots = 0;  ///< units of this launch and those before
  bool last = true;        ///< whether no launch follows that belongs to the same matrix
};

/// Adds the products of one vector of elements: sums[p] += x_i x_j. Fused, so that products of double are rounded once; those of
/// the other types are exact.
template <int T, class E>
FULLER_HD void add_products(const Words (&words)[T], double (&sums)[pair_count(T)]) {
  FULLER_UNROLL
  for (int v = 0; v < vector_width<E>; ++v) {
    double x[T];
    FULLER_UNROLL
    for (int i = 0; i < T; ++i) {
      x[i] = static_cast<double>(wide_at<E>(words[i], v));
    }
    FULLER_UNROLL
    for (int i = 0; i < T; ++i) {
      FULLER_UNROLL
      for (int j = i; j < T; ++j) {
        sums[pair_index(i, j, T)] = std::fma(x[i], x[j], sums[pair_index(i, j, T)]);
      }
    }
  }
}

/// Adds what thread `thread` is to add of a unit of aligned rows. It meets the same elements in the same order as add_any_unit,
/// so that neither alignment nor layout shows in the result.
template <int T, class E>
FULLER_HD void add_aligned_unit(const Table& table, const Unit& unit, int thread, double (&sums)[pair_count(T)]) {
  constexpr int width = vector_width<E>;
  constexpr std::int64_t stride = std::int64_t{block_threads} * width;
  constexpr int ahead = T <= 2 ? 2 : 1;  // steps whose loads are in flight together
  const E* x[T];
  FULLER_UNROLL
  for (int i = 0; i < T; ++i) {
    x[i] = static_cast<const E*>(table.data(unit.entry, i));
  }
  const std::int64_t whole = unit.begin + (unit.end - unit.begin) / width * width;
  std::int64_t e = unit.begin + thread * width;
  for (; e + (ahead - 1) * stride < whole; e += ahead * stride) {
    Words words[ahead][T];
    FULLER_UNROLL
    for (int step = 0; step < ahead; ++step) {
      FULLER_UNROLL
      for (int i = 0; i < T; ++i) {
        words[step][i] = x[i] != nullptr ? load_aligned(x[i] + e + step * stride) : Words{};
      }
    }
    FULLER_UNROLL
    for (int step = 0; step < ahead; ++step) {
      add_products<T, E>(words[step], sums);
    }
  }
  for (; e < unit.end; e += stride) {
    const auto count = static_cast<int>(least(width, unit.end - e));
    Words words[T];
    FULLER_UNROLL
    for (int i = 0; i < T; ++i) {
      words[i] = x[i] != nullptr ? load_some(x[i] + e, count, true) : Words{};
    }
    add_products<T, E>(words, sums);
  }
}

template <int T, class E>
FULLER_HD void add_any_unit(const Table& table, const Unit& unit, int thread, double (&sums)[pair_count(T)]) {
  constexpr int width = vector_width<E>;
  for (std::int64_t e = unit.begin + thread * width; e < unit.end; e += std::int64_t{block_threads} * width) {
    const auto count = static_cast<int>(least(width, unit.end - e));
    Words words[T];
    FULLER_UNROLL
    for (int i = 0; i < T; ++i) {
      words[i] = load_elements<E>(table, unit.entry, i, e, count);
    }
    add_products<T, E>(words, sums);
  }
}

/// The Gram matrix of 2 to `few_tasks` tasks: each thread holds all sums; then finish(warp, shared, doubles of it) in warp 0 of
/// the last block. One kernel for all element types, as the assembler compiles the rules anew for each kernel that calls them.
template <int T>
struct FewTasks {
  static constexpr int width = pair_count(T);
  static constexpr int shared_doubles = 512;
  static constexpr int blocks_together = T <= 3 ? 3 : 2;  // on a multiprocessor, which caps the registers

  template <class Block, class Finish>
  FULLER_HD static void run(const Block& block, const GramArguments& a, const Finish& finish) {
    switch (a.element) {
      case Element::float32:
        add_units<float>(block, a);
        break;
      case Element::float64:
        add_units<double>(block, a);
        break;
      case Element::float16:
        add_units<Half>(block, a);
        break;
      case Element::bfloat16:
        add_units<BFloat16>(block, a);
        break;
    }
    if (!a.last || !is_last_block(block, a.ticket)) {
      return;
    }
    double sums[width] = {};
    for (std::int64_t s = block.thread(); s < a.slots; s += block_threads) {
      FULLER_UNROLL
      for (int p = 0; p < width; ++p) {
        sums[p] += block.fresh(a.partials + s * width + p);
      }
    }
    double* const gram = a.gram;
    sum_over_block(block, sums, block.shared(), [gram](int p, double sum) {
      const auto [i, j] = pair_at(p, T);
      gram[i * T + j] = sum;
      gram[j * T + i] = sum;
    });
    if (block.thread() < warp_threads) {
      finish(block.warp(), block.shared(), shared_doubles);
    }
  }

 private:
  template <class E, class Block>
  FULLER_HD static void add_units(const Block& block, const GramArguments& a) {
    int entry = 0;
    for (std::int64_t u = block.index(); u < a.table.units; u += block.count()) {
      const Unit unit = unit_at(a.table, u, entry);
      entry = unit.entry;
      double sums[width] = {};
      if (a.table.dims(entry) == 0 && a.table.is_aligned(entry)) {
        add_aligned_unit<T, E>(a.table, unit, block.thread(), sums);
      } else {
        add_any_unit<T, E>(a.table, unit, block.thread(), sums);
      }
      double* const slot = a.partials + (a.table.first_slot + u) * width;
      sum_over_block(block, sums, block.shared(), [slot](int p, double sum) { slot[p] = sum; });
    }
  }
};

/// The Gram matrix of any number of tasks up to `max_tasks`. A block copies 64 elements of every task as doubles to shared
/// memory, [element] [task], and each thread multiplies four tasks with four over some of them: memory is read once, whatever T
/// is.
struct ManyTasks {
  static constexpr int depth = 64;
  static constexpr int most_columns = tiles_across(max_tasks) * tile + 1;  // odd, to spread the columns over the banks
  static constexpr int shared_doubles = depth * most_columns;
  static constexpr int blocks_together = 2;
  static_assert(shared_doubles >= block_threads * tile * tile, "the threads' sums are folded in the same memory");

  template <class Block, class Finish>
  FULLER_HD static void run(const Block& block, const GramArguments& a, const Finish& finish) {
    const int T = a.table.count;
    const int tiles = pair_count(tiles_across(T));
    const int teams = block_threads / tiles;
    const int width = tiles * tile * tile;
    const int team = block.thread() / tiles;
    const Pair place = pair_at(block.thread() % tiles, tiles_across(T));
    double* const shared = block.shared();

    int entry = 0;
    for (std::int64_t u = block.index(); u < a.table.units; u += block.count()) {
      const Unit unit = unit_at(a.table, u, entry);
      entry = unit.entry;
      double sums[tile * tile] = {};
      for (std::int64_t from = unit.begin; from < unit.end; from += depth) {
        fill_any(block, a, unit, from, shared);
        block.sync();
        if (team < teams) {
          multiply(shared, columns_of(T), tile * place.i, tile * place.j, team, teams, sums);
        }
        block.sync();
      }
      FULLER_UNROLL
      for (int q = 0; q < tile * tile; ++q) {
        shared[block.thread() * tile * tile + q] = sums[q];
      }
      block.sync();
      double* const slot = a.partials + (a.table.first_slot + u) * width;
      for (int q = block.thread(); q < width; q += block_threads) {
        double sum = 0;
        for (int t = 0; t < teams; ++t) {
          sum += shared[t * width + q];
        }
        slot[q] = sum;
      }
      block.sync();
    }
    if (!a.last || !is_last_block(block, a.ticket)) {
      return;
    }
    fold(block, a, width, shared);
    if (block.thread() < warp_threads) {
      finish(block.warp(), shared, shared_doubles);
    }
  }

 private:
  FULLER_HD static constexpr int columns_of(int T) { return tiles_across(T) * tile + 1; }

  template <class Block>
  FULLER_HD static void fill_any(const Block& block, const GramArguments& a, const Unit& unit, std::int64_t from, double* panel) {
    switch (a.element) {
      case Element::float32:
        return fill<float>(block, a.table, unit, from, panel);
      case Element::float64:
        return fill<double>(block, a.table, unit, from, panel);
      case Element::float16:
        return fill<Half>(block, a.table, unit, from, panel);
      case Element::bfloat16:
        return fill<BFloat16>(block, a.table, unit, from, panel);
    }
  }

  template <class E, class Block>
  FULLER_HD static void fill(const Block& block, const Table& table, const Unit& unit, std::int64_t from, double* panel) {
    constexpr int vector = vector_width<E>;
    constexpr int vectors = depth / vector;
    const int columns = columns_of(table.count);
    for (int item = block.thread(); item < (columns - 1) * vectors; item += block_threads) {
      const int i = item / vectors;
      const std::int64_t e = from + item % vectors * vector;
      Words words{};
      if (i < table.count && e < unit.end) {
        words = load_elements<E>(table, unit.entry, i, e, static_cast<int>(least(vector, unit.end - e)));
      }
      FULLER_UNROLL
      for (int v = 0; v < vector; ++v) {
        panel[(item % vectors * vector + v) * columns + i] = static_cast<double>(wide_at<E>(words, v));
      }
    }
  }

  FULLER_HD static void multiply(const double* panel, int columns, int row, int column, int team, int teams,
                                 double (&sums)[tile * tile]) {
    for (int e = team; e < depth; e += teams) {
      const double* const x = panel + e * columns;
      double of_row[tile];
      double of_column[tile];
      FULLER_UNROLL
      for (int k = 0; k < tile; ++k) {
        of_row[k] = x[row + k];
        of_column[k] = x[column + k];
      }
      FULLER_UNROLL
      for (int r = 0; r < tile; ++r) {
        FULLER_UNROLL
        for (int c = 0; c < tile; ++c) {
          sums[r * tile + c] = std::fma(of_row[r], of_column[c], sums[r * tile + c]);
        }
      }
    }
  }

  /// Adds up all units' sums, as many shares of them at once as fit, and writes the matrix.
  template <class Block>
  FULLER_HD static void fold(const Block& block, const GramArguments& a, int width, double* shared) {
    const int T = a.table.count;
    const int shares = static_cast<int>(least(16, shared_doubles / width));
    for (int item = block.thread(); item < width * shares; item += block_threads) {
      double sum = 0;
      for (std::int64_t s = item / width; s < a.slots; s += shares) {
        sum += block.fresh(a.partials + s * width + item % width);
      }
      shared[item] = sum;
    }
    block.sync();
    for (int q = block.thread(); q < width; q += block_threads) {
      double sum = 0;
      for (int share = 0; share < shares; ++share) {
        sum += shared[share * width + q];
      }
      const Pair place = pair_at(q / (tile * tile), tiles_across(T));
      const int i = tile * place.i + q / tile % tile;
      const int j = tile * place.j + q % tile;
      if (i <= j && j < T) {
        a.gram[i * T + j] = sum;
        a.gram[j * T + i] = sum;
      }
    }
    block.sync();
  }
};

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
