// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>

#include <torch/torch.h>

#include "../support/garments.hpp"

namespace example {

/// A garment seen by two sensors: a good one that sees the left half and a bad one that sees the right half.
struct Halves {
  torch::Tensor strong;       ///< N x 1 x 28 x 14, float
  torch::Tensor weak;         ///< N x 1 x 28 x 14, float: little contrast, much noise
  torch::Tensor garment;      ///< N, int64: class, 0 to 9
  torch::Tensor upside_down;  ///< N, int64: 1 where the picture hangs upside down
};

/// Cuts `count` garments in halves. A coin decides which hang upside down; `contrast` and `noise` are those of the weak half.
inline Halves halve(const Garments& garments, std::int64_t count, std::uint64_t seed, double contrast = 0.5,
                    double noise = 0.25) {
  const std::int64_t available = garments.images.size(0);
  if (count < 1 || count > available) {
    throw std::invalid_argument("between 1 and " + std::to_string(available) + " samples can be made, not " +
                                std::to_string(count));
  }
  auto generator = at::detail::createCPUGenerator(seed);
  const auto chosen = torch::randperm(available, generator, torch::kInt64).slice(0, 0, count);
  const auto images = garments.images.index_select(0, chosen).to(torch::kFloat32).div(255).unsqueeze(1);
  const auto turned = torch::rand({count, 1, 1, 1}, generator, torch::kFloat32) < 0.5;
  const auto seen = torch::where(turned, images.flip({2, 3}), images);
  const auto right = seen.slice(3, 14, 28);
  return {seen.slice(3, 0, 14).contiguous(), right * contrast + noise * torch::randn(right.sizes(), generator, torch::kFloat32),
          garments.labels.index_select(0, chosen), turned.flatten().to(torch::kInt64)};
}

}  // namespace example
