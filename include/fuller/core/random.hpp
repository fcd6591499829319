// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {

/// Four random words.
struct PhiloxBlock {
  std::uint32_t word[4];
};

/// Philox4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3"
/// (SC 2011): a bijection of the 128-bit counter under a 64-bit key, ten rounds. It has no state: whoever knows the seed and
/// the step knows the draw, on every rank and on every device.
FULLER_HD constexpr PhiloxBlock philox(PhiloxBlock counter, std::uint64_t key) {
  auto key_0 = static_cast<std::uint32_t>(key);
  auto key_1 = static_cast<std::uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product_0 = std::uint64_t{0xD2511F53u} * counter.word[0];
    const std::uint64_t product_1 = std::uint64_t{0xCD9E8D57u} * counter.word[2];
    counter = PhiloxBlock{
        {static_cast<std::uint32_t>(product_1 >> 32) ^ counter.word[1] ^ key_0, static_cast<std::uint32_t>(product_1),
         static_cast<std::uint32_t>(product_0 >> 32) ^ counter.word[3] ^ key_1, static_cast<std::uint32_t>(product_0)}};
    key_0 += 0x9E3779B9u;
    key_1 += 0xBB67AE85u;
  }
  return counter;
}

/// The `block`-th four words of the sequence number `sequence` of a step.
FULLER_HD constexpr PhiloxBlock random_block(std::uint64_t seed, std::int64_t step, std::uint32_t sequence, std::uint32_t block) {
  const auto counter = static_cast<std::uint64_t>(step);
  return philox(PhiloxBlock{{static_cast<std::uint32_t>(counter), static_cast<std::uint32_t>(counter >> 32), sequence, block}},
                seed);
}

/// A double in the open interval (0, 1), evenly spaced by 2^-52, from 52 of 64 random bits: its logarithm is always finite.
FULLER_HD constexpr double uniform_double(std::uint32_t high, std::uint32_t low) {
  const std::uint64_t bits = (std::uint64_t{high} << 32 | low) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

/// A whole number in [0, bound), each with probability 1 / bound to within 2^-32.
FULLER_HD constexpr std::uint32_t uniform_below(std::uint32_t bound, std::uint32_t word) {
  return static_cast<std::uint32_t>(std::uint64_t{word} * bound >> 32);
}

/// Shuffles `n` bytes so that every order is equally likely (Fisher-Yates), from the words of (seed, step, sequence) alone.
FULLER_HD inline void shuffle(std::uint8_t* items, int n, std::uint64_t seed, std::int64_t step, std::uint32_t sequence) {
  PhiloxBlock words{};
  for (int left = n; left > 1; --left) {
    const int drawn = n - left;
    if (drawn % 4 == 0) {
      words = random_block(seed, step, sequence, static_cast<std::uint32_t>(drawn / 4));
    }
    const auto pick = uniform_below(static_cast<std::uint32_t>(left), words.word[drawn % 4]);
    const std::uint8_t last = items[left - 1];
    items[left - 1] = items[pick];
    items[pick] = last;
  }
}

/// The Gumbel key log p + Gamma, Gamma = -log(-log U), of one item: items sorted by falling keys are a draw without
/// replacement with probabilities proportional to p (the Plackett-Luce order; Yellott 1977). log p may lack a common constant.
FULLER_HD inline double gumbel_key(double log_p, std::uint64_t seed, std::int64_t step, std::uint32_t item) {
  const PhiloxBlock words = random_block(seed, step, item, 0);
  return log_p - std::log(-std::log(uniform_double(words.word[0], words.word[1])));
}

}  // namespace v0_1
}  // namespace fuller
