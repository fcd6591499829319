// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "bevfusion/synth/random.hpp"
#include "support/catch.hpp"

namespace bevfusion::fuzz {

using Bytes = std::vector<std::uint8_t>;

/// One way or another to spoil a file.
inline Bytes damage(Bytes bytes, Random& random) {
  const auto place = [&] { return static_cast<std::size_t>(random.unit() * static_cast<double>(bytes.size())); };
  switch (random.integer(0, 5)) {
    case 0:  // cut short
      bytes.resize(place());
      return bytes;
    case 1:  // a stretch gone
      if (!bytes.empty()) {
        const std::size_t from = place();
        const std::size_t to = std::min(bytes.size(), from + static_cast<std::size_t>(random.integer(1, 40)));
        bytes.erase(bytes.begin() + static_cast<std::ptrdiff_t>(from), bytes.begin() + static_cast<std::ptrdiff_t>(to));
      }
      return bytes;
    case 2:  // a stretch twice
      if (!bytes.empty()) {
        const std::size_t from = place();
        const Bytes copy(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                         bytes.begin() + static_cast<std::ptrdiff_t>(std::min(bytes.size(), from + 60)));
        const std::size_t at = place();
        bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), copy.begin(), copy.end());
      }
      return bytes;
    default:  // some bytes changed, most of them to what means something in JSON
      for (int i = random.integer(1, 8); i > 0 && !bytes.empty(); --i) {
        static constexpr char favourites[] = "{}[]\",:-0123456789eE.nt\\";
        bytes[place()] = random.chance(0.5) ? static_cast<std::uint8_t>(random.integer(0, 255))
                                            : static_cast<std::uint8_t>(favourites[random.integer(0, 23)]);
      }
      return bytes;
  }
}

/// Damages `good` many times. Whatever the target throws fails the test case.
inline void try_damaged(const Bytes& good, int times, void (*target)(const std::uint8_t*, std::size_t)) {
  REQUIRE(!good.empty());
  Random random({good.size(), 7});
  for (int i = 0; i < times; ++i) {
    Bytes bytes = damage(good, random);
    if (random.chance(0.3)) bytes = damage(std::move(bytes), random);
    REQUIRE_NOTHROW(target(bytes.data(), bytes.size()));
  }
}

}  // namespace bevfusion::fuzz
