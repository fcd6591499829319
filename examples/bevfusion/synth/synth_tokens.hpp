// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "bevfusion/nuscenes/token.hpp"
#include "bevfusion/synth/random.hpp"

namespace bevfusion {

/// What a token names.
enum class TokenKind : std::uint64_t {
  attribute = 1,
  calibrated_sensor,
  category,
  instance,
  log,
  map,
  sample,
  sample_annotation,
  sample_data,
  scene,
  sensor,
  map_node,
  map_shape,
  map_member
};

/// A token that depends on the seed and on what it names alone.
inline Token token_of(std::uint64_t seed, TokenKind kind, std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) {
  const auto k = static_cast<std::uint64_t>(kind);
  return {mix_bits({seed, k, a, b, c, 1}), mix_bits({seed, k, a, b, c, 2})};
}

}  // namespace bevfusion
