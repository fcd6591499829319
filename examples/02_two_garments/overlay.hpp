// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <stdexcept>

#include <torch/torch.h>

#include "../support/garments.hpp"

namespace example {

/// Two garments in one picture, as MultiMNIST does with digits: task one names the left, task two the right.
struct Pairs {
  torch::Tensor images;  ///< N x 1 x 36 x 36, uint8
  torch::Tensor left;    ///< N, int64: class of the garment in the upper left corner
  torch::Tensor right;   ///< N, int64: class of the garment in the lower right corner
};

/// Lays `count` pairs over one another on 36 x 36 pixels: each garment is 28 x 28, so they share a square of 20 x 20, where the
/// brighter pixel wins. Which garments meet depends on `seed` alone.
inline Pairs overlay(const Garments& garments, std::int64_t count, std::uint64_t seed) {
  const std::int64_t available = garments.images.size(0);
  if (count < 1 || count > available) {
    throw std::invalid_argument("between 1 and " + std::to_string(available) + " samples can be made, not " +
                                std::to_string(count));
  }
  auto generator = at::detail::createCPUGenerator(seed);
  const auto first = torch::randperm(available, generator, torch::kInt64).slice(0, 0, count);
  const auto second = torch::randperm(available, generator, torch::kInt64).slice(0, 0, count);
  auto images = torch::zeros({count, 1, 36, 36}, torch::kUInt8);
  images.slice(2, 0, 28).slice(3, 0, 28).copy_(garments.images.index_select(0, first).unsqueeze(1));
  auto corner = images.slice(2, 8, 36).slice(3, 8, 36);
  corner.copy_(torch::maximum(corner, garments.images.index_select(0, second).unsqueeze(1)));
  return {images, garments.labels.index_select(0, first), garments.labels.index_select(0, second)};
}

}  // namespace example
