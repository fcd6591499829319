// SPDX-License-Identifier: Apache-2.0
// How the kernels of fuller/cuda cut their work: pure index arithmetic, proven here for sizes that no test could hold in memory.

#include <algorithm>
#include <cstdint>
#include <vector>

#include <fuller/cuda/requests.hpp>
#include <fuller/cuda/slices.hpp>

#include "support/catch.hpp"
#include "support/elements.hpp"

namespace {

using namespace fuller::cuda;
using namespace fuller::cuda::detail;
using fuller::testing::Layout;

TEST_CASE("units cover every element once, beyond 2^31 and 2^32 too", "[cuda]") {
  const std::vector<std::int64_t> lengths{1, 2047, 2048, 2049, 0, 3000000007LL, 17, 5000000000LL, (std::int64_t{1} << 33) + 3};
  std::int64_t total = 0;
  for (const std::int64_t n : lengths) total += n;
  for (const int tasks : {1, 2, 4, 5, 64}) {
    const std::int64_t unit = unit_size(total, gram_width(tasks));
    REQUIRE(unit % smallest_unit == 0);
    REQUIRE(ceil_divide(total, unit) <= most_units(gram_width(tasks)));
    Table table;
    table.count = 1;
    table.unit = unit;
    const int something = 0;
    for (const std::int64_t n : lengths) {
      Together one;
      one.n = n;
      one.count = 1;
      one.data[0] = &something;
      REQUIRE(append(table, one));
    }
    REQUIRE(table.entries == static_cast<int>(lengths.size()) - 1);  // the empty one takes no place
    // In turn, as a block with index 0 of 1 goes through them; then from the start each, as a block that comes late does.
    int entry = 0;
    int last_entry = -1;
    std::int64_t reached = 0;
    std::int64_t covered = 0;
    for (std::int64_t u = 0; u < table.units; ++u) {
      const Unit here = unit_at(table, u, entry);
      const Unit again = unit_at(table, u, 0);
      REQUIRE((here.entry == again.entry && here.begin == again.begin && here.end == again.end));
      entry = here.entry;
      if (entry != last_entry) {
        REQUIRE((last_entry < 0 || reached == table.length(last_entry)));
        REQUIRE(here.begin == 0);
        last_entry = entry;
      } else {
        REQUIRE(here.begin == reached);
      }
      REQUIRE((here.begin < here.end && here.end - here.begin <= unit));
      reached = here.end;
      covered += here.end - here.begin;
    }
    REQUIRE(reached == lengths.back());
    REQUIRE(covered == total);
  }
}

TEST_CASE("the pairs of a triangle are numbered in order, and back", "[cuda]") {
  for (const int tasks : {1, 2, 3, 8, 16, 64}) {
    int p = 0;
    for (int i = 0; i < tasks; ++i) {
      for (int j = i; j < tasks; ++j, ++p) {
        const auto [a, b] = pair_at(p, tasks);
        REQUIRE((a == i && b == j));
        REQUIRE(pair_index(i, j, tasks) == p);
      }
    }
    REQUIRE(p == pair_count(tasks));
  }
}

TEST_CASE("an element's offset in strided memory, beyond 2^32 too", "[cuda]") {
  // [3, 2^20, 2^12] of a tensor whose rows are 2^13 apart: element (a, b, c) has number (a 2^20 + b) 2^12 + c.
  const std::int64_t sizes[] = {3, 1 << 20, 1 << 12};
  const std::int64_t strides[] = {std::int64_t{1} << 40, 1 << 13, 2};
  for (const std::int64_t a : {0, 1, 2}) {
    for (const std::int64_t b : {0, 1, 524287, 1048575}) {
      for (const std::int64_t c : {0, 1, 4095}) {
        const std::int64_t e = (a * sizes[1] + b) * sizes[2] + c;
        REQUIRE(offset_of(e, 3, sizes, strides) == a * strides[0] + b * strides[1] + c * strides[2]);
      }
    }
  }
}

TEST_CASE("a place in a row of runs, beyond 2^32 too", "[cuda]") {
  const std::int64_t widths[] = {5, 0, 7};
  const Slices slices = make_slices(1LL << 30, widths, 3, 9);  // rows of 108
  REQUIRE(slices.row == 108);
  REQUIRE(slices.n == 108LL << 30);
  REQUIRE(slices.bounds[1] == 45);
  REQUIRE(slices.bounds[2] == 45);
  REQUIRE(slices.bounds[3] == 108);
  for (const std::int64_t whole : {0LL, 1LL, 39768215LL, 39768216LL, (1LL << 30) - 1}) {
    for (const std::int64_t r : {0LL, 44LL, 107LL}) {
      REQUIRE(slices.in_row(whole * 108 + r) == r);
    }
  }
  REQUIRE(further(100, 7, 108) == 107);
  REQUIRE(further(100, 8, 108) == 0);
}

Together together(const std::vector<Layout>& layouts, const void* data) {
  std::vector<TensorView> views;
  for (const Layout& layout : layouts) views.push_back(layout.view(data));
  Together out;
  REQUIRE(walk_together(views.data(), static_cast<int>(views.size()), out));
  return out;
}

TEST_CASE("equal dense layouts are rows, whatever their order; others keep as few dimensions as it takes", "[cuda]") {
  alignas(16) const char memory[32] = {};
  const Layout row_major{{4, 6, 3, 3}, {54, 9, 3, 1}};
  const Layout channels_last{{4, 6, 3, 3}, {54, 1, 18, 6}};
  const Layout single{{1, 6, 1, 3}, {7, 3, 99, 1}};  // the strides of sizes of 1 say nothing
  const Layout transposed{{6, 4}, {1, 6}};
  const Layout with_gaps{{4, 6}, {8, 1}};
  const Layout expanded{{4, 6}, {0, 1}};
  for (const Layout& layout : {row_major, channels_last, single, transposed}) {
    const Together both = together({layout, layout}, memory);
    REQUIRE(both.dims == 0);
    REQUIRE(both.n == layout.count());
    REQUIRE(both.aligned);
  }
  REQUIRE(together({Layout{{}, {}}}, memory).n == 1);  // a scalar
  REQUIRE(together({Layout{{3, 0}, {1, 1}}}, memory).n == 0);
  REQUIRE_FALSE(together({row_major}, memory + 4).aligned);
  const Together mixed = together({row_major, channels_last}, memory);
  REQUIRE(mixed.dims == 3);  // [O, C, k k]
  REQUIRE_FALSE(mixed.equal_strides);
  const Together gaps = together({with_gaps, with_gaps}, memory);
  REQUIRE(gaps.dims == 2);
  REQUIRE(gaps.equal_strides);
  REQUIRE(together({expanded}, memory).dims == 2);
  REQUIRE(together({Layout{{6}, {2}}}, memory).dims == 1);
  // Six dimensions with gaps between all of them are too many for a kernel's table.
  const Layout bent{{2, 2, 2, 2, 2, 2}, {1000000, 100000, 10000, 1000, 100, 10}};
  const TensorView view = bent.view(memory);
  Together out;
  REQUIRE_FALSE(walk_together(&view, 1, out));
}

TEST_CASE("a table is full before it overflows", "[cuda]") {
  alignas(16) const char memory[16] = {};
  for (const int tasks : {1, 2, 4, 8, 64}) {
    Table table;
    table.count = tasks;
    table.unit = smallest_unit;
    Together one = together(std::vector<Layout>(static_cast<std::size_t>(tasks), fuller::testing::row(3000)), memory);
    int entries = 0;
    while (append(table, one)) ++entries;
    REQUIRE(entries == std::min(96, 336 / (1 + tasks)));  // as entries, or as words, allow
    REQUIRE(table.units == 2 * entries);
    REQUIRE(table.words_used <= Table::max_words);
  }
  REQUIRE(sizeof(Table) < 4000);
}

}  // namespace
