// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string_view>

#include <torch/torch.h>

#include "bevfusion/synth/random.hpp"

namespace bevfusion {

/// What a part draws at random from here on depends on the key and its name alone, not on what other parts drew before it. So
/// runs of one seed that differ in their tasks, rule or gate have the same initial weights and the same dropout in every part
/// that they share, and their difference is that of what was changed.
inline void begin_draws(std::initializer_list<std::uint64_t> key, std::string_view part) {
  std::uint64_t name = 0;
  for (const char c : part) {
    name = mix_bits({name, static_cast<std::uint64_t>(static_cast<unsigned char>(c))});
  }
  torch::manual_seed(mix_bits({mix_bits(key), name}));
}

/// A key that follows from the state of LibTorch's generator, which moves on.
inline std::uint64_t drawn_key() {
  return static_cast<std::uint64_t>(torch::randint(INT64_MAX, {1}, torch::kLong).item<std::int64_t>());
}

}  // namespace bevfusion
