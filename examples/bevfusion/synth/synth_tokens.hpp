// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <array>
#include <string>

#include "bevfusion/nuscenes/token.hpp"
#include "bevfusion/synth/random.hpp"
#include "bevfusion/synth/synth_options.hpp"

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

/// A token that depends on the seed, on its form and on what it names alone.
inline Token token_of(const SynthOptions& options, TokenKind kind, std::uint64_t a, std::uint64_t b = 0, std::uint64_t c = 0) {
  const auto k = static_cast<std::uint64_t>(kind);
  if (options.tokens == SynthOptions::Tokens::text) {
    static constexpr std::array<const char*, 14> names = {
        "attribute",         "calibrated_sensor", "category", "instance", "log",      "map",       "sample",
        "sample_annotation", "sample_data",       "scene",    "sensor",   "map_node", "map_shape", "map_member"};
    const auto part = [](std::uint64_t number) { return '-' + std::to_string(number); };
    return Token(names[k - 1] + part(a) + part(b) + part(c));
  }
  const std::uint64_t high = mix_bits({options.seed, k, a, b, c, 1});
  const std::uint64_t low = mix_bits({options.seed, k, a, b, c, 2});
  const bool uuid = options.tokens == SynthOptions::Tokens::uuid || kind >= TokenKind::map_node;
  return uuid ? Token::of_uuid(high, low) : Token::of_digits(high, low);
}

}  // namespace bevfusion
