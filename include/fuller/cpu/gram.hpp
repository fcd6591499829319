// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include <fuller/core/triangle.hpp>
#include <fuller/cpu/blocks.hpp>
#include <fuller/cpu/gram_tile.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cpu {
namespace detail {

using fuller::detail::pair_count;
using fuller::detail::pair_index;

/// The Gram matrix of one block: a few thousand elements at a time stay in the cache while every pair of tasks uses them.
template <class T>
class GramBlock {
 public:
  GramBlock(const T* const* arrays, int tasks, Isa isa)
      : arrays_(arrays),
        tasks_(tasks),
        tile_(tile_rows(isa, tasks)),
        isa_(isa),
        pairs_(pair_count<std::int64_t>(tasks)),
        chunk_(tasks <= 16 ? std::clamp<std::int64_t>(2048 / tasks / 16 * 16, 128, 512) : 256),
        panel_(tasks * (chunk_ + 8)),
        lanes_(pairs_ * 16),
        source_(static_cast<std::size_t>(tasks)),
        rows_(static_cast<std::size_t>(tasks)),
        tail_(static_cast<std::size_t>(tasks) * 16) {
    for (int i = 0; i < tasks; ++i) {
      rows_[static_cast<std::size_t>(i)] = panel_.data() + i * (chunk_ + 8);
    }
  }

  /// Packed upper triangle of the elements [begin, end) of all arrays: sums[p].
  void operator()(std::int64_t begin, std::int64_t end, double* sums) {
    std::fill(sums, sums + pairs_, 0.0);
    for (std::int64_t from = begin; from < end; from += Blocks::stretch) {
      std::fill(lanes_.data(), lanes_.data() + pairs_ * 16, 0.0);
      add_stretch(from, std::min(end, from + Blocks::stretch));
      for (std::int64_t p = 0; p < pairs_; ++p) {
        sums[p] += fold_lanes(lanes_.data() + p * 16);
      }
    }
  }

 private:
  void add_stretch(std::int64_t begin, std::int64_t end) {
    const std::int64_t whole = begin + (end - begin) / 16 * 16;
    if (tasks_ == tile_) {  // all sums fit the registers: nothing is read twice
      point_at(begin);
      diagonal<false>(source_.data(), 0, tasks_, whole - begin);
    } else {
      for (std::int64_t from = begin; from < whole; from += chunk_) {
        point_at(from);
        add_chunk(source_.data(), std::min(chunk_, whole - from));
      }
    }
    if (whole < end) {  // the last elements, padded with zeros to a full step of the lanes
      for (int i = 0; i < tasks_; ++i) {
        T* const row = tail_.data() + i * 16;
        std::fill(std::copy(arrays_[i] + whole, arrays_[i] + end, row), row + 16, T{});
        source_[static_cast<std::size_t>(i)] = row;
      }
      add_chunk(source_.data(), 16);
    }
  }

  void point_at(std::int64_t element) {
    for (int i = 0; i < tasks_; ++i) {
      source_[static_cast<std::size_t>(i)] = arrays_[i] + element;
    }
  }

  /// The diagonal tiles read the arrays and leave them in the panel as doubles, the others read the panel.
  void add_chunk(const T* const* source, std::int64_t n) {
    for (int i = 0; i < tasks_; i += tile_) {
      diagonal<true>(source + i, i, std::min(tile_, tasks_ - i), n);
      for (int j = 0; j < i; j += tile_) {
        const int columns = std::min(tile_, tasks_ - i);
        double* lanes[16];
        for (int r = 0; r < tile_; ++r) {
          for (int c = 0; c < columns; ++c) {
            lanes[r * columns + c] = lanes_.data() + pair_index<std::int64_t>(j + r, i + c, tasks_) * 16;
          }
        }
        cross_tile(isa_, rows_.data() + j, tile_, rows_.data() + i, columns, n, lanes);
      }
    }
  }

  template <bool Copy>
  void diagonal(const T* const* source, int first, int count, std::int64_t n) {
    double* lanes[10];
    int p = 0;
    for (int i = 0; i < count; ++i) {
      for (int j = i; j < count; ++j) {
        lanes[p++] = lanes_.data() + pair_index<std::int64_t>(first + i, first + j, tasks_) * 16;
      }
    }
    diagonal_tile<Copy>(isa_, source, count, n, lanes, rows_.data() + first);
  }

  const T* const* arrays_;
  int tasks_;
  int tile_;
  Isa isa_;
  std::int64_t pairs_;
  std::int64_t chunk_;
  AlignedDoubles panel_;
  AlignedDoubles lanes_;
  std::vector<const T*> source_;
  std::vector<double*> rows_;
  std::vector<T> tail_;
};

}  // namespace detail

/// Adds the Gram matrix M_ij = sum_e x_i[e] x_j[e] of `tasks` arrays of n elements to gram[i * tasks + j].
///
/// The products of float, Half and BFloat16 are exact in double; the sums are double, in sixteen lanes folded every 4096
/// elements and then pairwise: |error| <= 1e-12 ||x_i|| ||x_j||, on equal elements too. Every element is read from memory once,
/// whatever the number of tasks. The order of the sums follows from n alone: the same for any number of threads, for any other
/// task in the call, and for float and half types for any instruction set; all inputs scaled by a power of two scale the matrix
/// bit for bit, short of over- and underflow of double. NaN and infinities propagate to the entries of their tasks.
///
/// Host memory; x_i need no alignment beyond their type's and may alias each other. Allocates scratch; neither syncs nor throws
/// (but std::bad_alloc).
/// @param parallel called as parallel(begin, end, grain, f); SerialFor says what it must do.
template <class T, class Parallel = SerialFor>
void add_gram(const T* const* arrays, int tasks, std::int64_t n, double* gram, const Parallel& parallel = Parallel(),
              Isa isa = best_isa()) {
  if (tasks <= 0 || n <= 0) {
    return;
  }
  const detail::Blocks blocks(n);
  const std::int64_t pairs = detail::pair_count<std::int64_t>(tasks);
  detail::AlignedDoubles partial(blocks.count * pairs);
  parallel(std::int64_t{0}, blocks.count, std::int64_t{1}, [&](std::int64_t first, std::int64_t last) {
    detail::GramBlock<T> block(arrays, tasks, isa);
    for (std::int64_t b = first; b < last; ++b) {
      block(blocks.begin(b), blocks.end(b), partial.data() + b * pairs);
    }
  });
  detail::fold_rows(partial.data(), blocks.count, pairs);
  for (std::int64_t i = 0; i < tasks; ++i) {
    for (std::int64_t j = i; j < tasks; ++j) {
      const double dot = partial.data()[detail::pair_index<std::int64_t>(i, j, tasks)];
      gram[i * tasks + j] += dot;
      if (i != j) {
        gram[j * tasks + i] += dot;
      }
    }
  }
}

}  // namespace cpu
}  // namespace v0_1
}  // namespace fuller
