// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <map>
#include <numeric>
#include <vector>

#include <fuller/core/random.hpp>

#include "support/catch.hpp"

namespace {

std::vector<std::uint32_t> words(const fuller::PhiloxBlock& block) { return {block.word, block.word + 4}; }

}  // namespace

TEST_CASE("Philox4x32-10 gives the published known answers") {
  // The three philox4x32 vectors with 10 rounds of Random123's kat_vectors: all zeros, all ones, digits of pi.
  CHECK(words(fuller::philox({{0, 0, 0, 0}}, 0)) ==
        std::vector<std::uint32_t>{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u});
  CHECK(words(fuller::philox({{0xffffffffu, 0xffffffffu, 0xffffffffu, 0xffffffffu}}, 0xffffffffffffffffu)) ==
        std::vector<std::uint32_t>{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu});
  CHECK(words(fuller::philox({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0x299f31d0a4093822u)) ==
        std::vector<std::uint32_t>{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u});
}

TEST_CASE("a random block spreads seed, step, sequence and block over counter and key") {
  CHECK(words(fuller::random_block(0x299f31d0a4093822u, std::int64_t(0x05a308d3243f6a88), 7, 9)) ==
        words(fuller::philox({{0x243f6a88u, 0x05a308d3u, 7, 9}}, 0x299f31d0a4093822u)));
  static_assert(fuller::random_block(1, 2, 3, 4).word[0] != fuller::random_block(1, 2, 4, 4).word[0], "usable at compile time");
}

TEST_CASE("uniform doubles lie strictly inside (0, 1)") {
  CHECK(fuller::uniform_double(0, 0) == std::ldexp(1.0, -53));
  CHECK(fuller::uniform_double(0xffffffffu, 0xffffffffu) == 1 - std::ldexp(1.0, -53));
  CHECK(fuller::uniform_double(0x80000000u, 0) == 0.5 + std::ldexp(1.0, -53));
}

TEST_CASE("uniform doubles have the moments of the uniform distribution") {
  constexpr int n = 200000;
  double sum = 0;
  double squares = 0;
  for (int k = 0; k < n; ++k) {
    const fuller::PhiloxBlock block = fuller::random_block(5, k, 0, 0);
    const double u = fuller::uniform_double(block.word[0], block.word[1]);
    sum += u;
    squares += u * u;
  }
  // Five standard deviations: 1 / sqrt(12 n) for the mean, sqrt(4 / 45 / n) for the mean square.
  CHECK(std::abs(sum / n - 0.5) < 5 / std::sqrt(12.0 * n));
  CHECK(std::abs(squares / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
}

TEST_CASE("uniform_below covers [0, bound) and nothing else") {
  CHECK(fuller::uniform_below(3, 0) == 0);
  CHECK(fuller::uniform_below(3, 0x55555555u) == 0);
  CHECK(fuller::uniform_below(3, 0x55555556u) == 1);
  CHECK(fuller::uniform_below(3, 0xffffffffu) == 2);
  CHECK(fuller::uniform_below(1, 0xffffffffu) == 0);
}

TEST_CASE("a shuffle is a permutation and depends on seed, step and sequence alone") {
  for (const int n : {1, 2, 5, 63}) {
    std::vector<std::uint8_t> items(static_cast<std::size_t>(n));
    std::iota(items.begin(), items.end(), std::uint8_t{0});
    std::vector<std::uint8_t> again = items;
    std::vector<std::uint8_t> sorted = items;
    fuller::shuffle(items.data(), n, 3, 14, 15);
    fuller::shuffle(again.data(), n, 3, 14, 15);
    CHECK(items == again);
    if (n == 63) {
      for (const auto& [seed, step, sequence] : {std::array<int, 3>{4, 14, 15}, {3, 15, 15}, {3, 14, 16}}) {
        std::vector<std::uint8_t> other = sorted;
        fuller::shuffle(other.data(), n, static_cast<std::uint64_t>(seed), step, static_cast<std::uint32_t>(sequence));
        CHECK(other != items);
      }
    }
    std::sort(items.begin(), items.end());
    CHECK(items == sorted);
  }
}

TEST_CASE("a shuffle is Fisher and Yates's, from the last place down, by a word for each place, four to a block") {
  // Saved runs and other ranks draw the same orders only as long as this is what is drawn.
  for (const int n : {2, 5, 9, 23}) {
    std::vector<std::uint8_t> expected(static_cast<std::size_t>(n));
    std::iota(expected.begin(), expected.end(), std::uint8_t{0});
    std::vector<std::uint8_t> found = expected;
    for (int place = n - 1; place > 0; --place) {
      const int number = n - 1 - place;
      const fuller::PhiloxBlock block = fuller::random_block(3, 14, 15, static_cast<std::uint32_t>(number) / 4);
      const std::uint64_t pick = std::uint64_t{block.word[number % 4]} * static_cast<std::uint64_t>(place + 1) >> 32;
      std::swap(expected[std::size_t(place)], expected[std::size_t(pick)]);
    }
    fuller::shuffle(found.data(), n, 3, 14, 15);
    CHECK(found == expected);
  }
}

TEST_CASE("a Gumbel key is of the first two words of an item's first block") {
  for (std::uint32_t item = 0; item < 20; ++item) {
    const fuller::PhiloxBlock block = fuller::random_block(9, 4, item, 0);
    const double u = (double((std::uint64_t{block.word[0]} << 32 | block.word[1]) >> 12) + 0.5) * 0x1p-52;
    CHECK(fuller::gumbel_key(-1.5, 9, 4, item) == Approx(-1.5 - std::log(-std::log(u))).epsilon(1e-14));
  }
}

TEST_CASE("every order of a shuffle is equally likely") {
  constexpr int n = 48000;
  std::map<std::array<std::uint8_t, 4>, int> counts;
  for (int k = 0; k < n; ++k) {
    std::array<std::uint8_t, 4> items = {0, 1, 2, 3};
    fuller::shuffle(items.data(), 4, 1, k, 0);
    ++counts[items];
  }
  REQUIRE(counts.size() == 24);
  double chi_squared = 0;
  for (const auto& [order, count] : counts) {
    chi_squared += (count - n / 24.0) * (count - n / 24.0) / (n / 24.0);
  }
  // The 0.9999 quantile of chi-squared with 23 degrees of freedom is 56.
  CHECK(chi_squared < 56);
}

TEST_CASE("orders by Gumbel keys have the Plackett-Luce probabilities") {
  constexpr int n = 60000;
  const std::array<double, 3> p = {0.6, 0.3, 0.1};
  std::map<std::array<int, 3>, int> counts;
  for (int k = 0; k < n; ++k) {
    std::array<double, 3> keys{};
    for (int i = 0; i < 3; ++i) {
      // log p may lack a constant: 2.5 here.
      keys[static_cast<std::size_t>(i)] =
          fuller::gumbel_key(std::log(p[static_cast<std::size_t>(i)]) + 2.5, 7, k, static_cast<std::uint32_t>(i));
    }
    std::array<int, 3> order = {0, 1, 2};
    std::sort(order.begin(), order.end(), [&](int a, int b) { return keys[std::size_t(a)] > keys[std::size_t(b)]; });
    ++counts[order];
  }
  double chi_squared = 0;
  std::array<int, 3> order = {0, 1, 2};
  do {
    const double first = p[std::size_t(order[0])];
    const double second = p[std::size_t(order[1])];
    const double expected = n * first * second / (1 - first);
    chi_squared += (counts[order] - expected) * (counts[order] - expected) / expected;
  } while (std::next_permutation(order.begin(), order.end()));
  // The 0.9999 quantile of chi-squared with 5 degrees of freedom is 25.7.
  CHECK(chi_squared < 25.7);
}
