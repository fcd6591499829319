// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/host_device.hpp>
#include <fuller/cuda/partition.hpp>
#include <fuller/cuda/unroll.hpp>
#include <fuller/cuda/vector.hpp>
#include <fuller/cuda/views.hpp>

namespace fuller {
inline namespace v0_1 {
namespace cuda {
namespace detail {

/// The tensors of one launch, packed to be an argument of the kernel: no copy to the device, nothing to keep alive, and a graph
/// that is captured holds it. What does not fit goes into a further launch.
///
/// Entry k is: n, an address for each tensor; where they are no rows, the sizes, then the strides of all, or of each.
struct Table {
  static constexpr int max_entries = 96;
  static constexpr int max_words = 336;

  enum Flag : std::uint16_t { aligned = 8, equal_strides = 16 };  // and the number of dimensions below

  std::int32_t count = 0;  ///< tensors walked through together
  std::int32_t entries = 0;
  std::int32_t words_used = 0;
  std::int64_t unit = 0;  ///< elements
  std::int64_t units = 0;
  std::int64_t first_slot = 0;  ///< where the partial sums of unit 0 stand
  std::int64_t end_unit[max_entries] = {};
  std::uint16_t at[max_entries] = {};
  std::uint16_t flags[max_entries] = {};
  std::uint64_t words[max_words] = {};

  FULLER_HD const std::uint64_t* entry(int k) const { return words + at[k]; }
  FULLER_HD std::int64_t length(int k) const { return static_cast<std::int64_t>(entry(k)[0]); }
  FULLER_HD const void* data(int k, int i) const {
    return reinterpret_cast<const void*>(entry(k)[1 + i]);  // NOLINT(performance-no-int-to-ptr): entries are words
  }
  FULLER_HD int dims(int k) const { return flags[k] & 7; }
  FULLER_HD bool is_aligned(int k) const { return (flags[k] & aligned) != 0; }
  FULLER_HD const std::uint64_t* sizes(int k) const { return entry(k) + 1 + count; }
  FULLER_HD const std::uint64_t* strides(int k, int i) const {
    return sizes(k) + dims(k) * ((flags[k] & equal_strides) != 0 ? 1 : 1 + i);
  }
  FULLER_HD std::int64_t first_unit(int k) const { return k == 0 ? 0 : end_unit[k - 1]; }
};

/// Words that an entry takes.
inline int words_of(const Together& tensors) {
  return 1 + tensors.count + (tensors.dims == 0 ? 0 : tensors.dims * (1 + (tensors.equal_strides ? 1 : tensors.count)));
}

/// Appends an entry; false where it does not fit beside the others. Of no elements, it takes no place.
inline bool append(Table& table, const Together& tensors) {
  if (tensors.n == 0) {
    return true;
  }
  const int words = words_of(tensors);
  if (table.entries == Table::max_entries || table.words_used + words > Table::max_words) {
    return false;
  }
  const int k = table.entries++;
  table.at[k] = static_cast<std::uint16_t>(table.words_used);
  table.flags[k] = static_cast<std::uint16_t>(tensors.dims | (tensors.aligned ? Table::aligned : 0) |
                                              (tensors.equal_strides ? Table::equal_strides : 0));
  table.units += ceil_divide(tensors.n, table.unit);
  table.end_unit[k] = table.units;
  std::uint64_t* next = table.words + table.words_used;
  table.words_used += words;
  *next++ = static_cast<std::uint64_t>(tensors.n);
  const std::int64_t* of_first = nullptr;
  for (int i = 0; i < tensors.count; ++i) {
    *next++ = reinterpret_cast<std::uintptr_t>(tensors.data[i]);
    of_first = of_first == nullptr && tensors.data[i] != nullptr ? tensors.strides[i] : of_first;
  }
  for (int d = 0; d < tensors.dims; ++d) {
    *next++ = static_cast<std::uint64_t>(tensors.sizes[d]);
  }
  for (int i = 0; i < (tensors.equal_strides ? 1 : tensors.count); ++i) {
    for (int d = 0; d < tensors.dims; ++d) {
      *next++ = static_cast<std::uint64_t>(tensors.equal_strides ? of_first[d] : tensors.strides[i][d]);
    }
  }
  return true;
}

/// The elements [begin, end) of entry k: what one unit is.
struct Unit {
  int entry = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

/// Unit u; `entry` is that of an earlier unit (0 to begin with), from which the search goes on.
FULLER_HD inline Unit unit_at(const Table& table, std::int64_t u, int entry) {
  while (u >= table.end_unit[entry]) {
    ++entry;
  }
  const std::int64_t begin = (u - table.first_unit(entry)) * table.unit;
  return {entry, begin, least(table.length(entry), begin + table.unit)};
}

/// Where element e of tensor i of entry k, which is in no row, is. Not inlined: divisions, once for each element that is read,
/// would make a kernel half a megabyte.
__attribute__((noinline)) FULLER_HD inline std::int64_t strided_offset(const Table& table, int k, int i, std::int64_t e) {
  return offset_of(e, table.dims(k), table.sizes(k), table.strides(k, i));
}

/// `count` elements of tensor i of entry k from element e on, and zeros after them or where the tensor is null.
template <class T>
FULLER_HD Words load_elements(const Table& table, int k, int i, std::int64_t e, int count) {
  const T* const data = static_cast<const T*>(table.data(k, i));
  if (data == nullptr) {
    return Words{};
  }
  if (table.dims(k) == 0) {
    return load_some(data + e, count, table.is_aligned(k));
  }
  Words words{};
  FULLER_UNROLL
  for (int v = 0; v < vector_width<T>; ++v) {
    if (v < count) {
      set(words, v, data[strided_offset(table, k, i, e + v)]);
    }
  }
  return words;
}

}  // namespace detail
}  // namespace cuda
}  // namespace v0_1
}  // namespace fuller
