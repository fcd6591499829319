// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/sparse/neighbours.hpp"

#include <algorithm>
#include <stdexcept>
#include <vector>

#include <torch/torch.h>

namespace bevfusion {
namespace {

/// All offsets of a kernel, [K, 3], x-major.
torch::Tensor offsets_of(const Extent& kernel, const torch::Device& device) {
  std::vector<std::int64_t> offsets;
  for (std::int64_t x = 0; x < kernel[0]; ++x) {
    for (std::int64_t y = 0; y < kernel[1]; ++y) {
      for (std::int64_t z = 0; z < kernel[2]; ++z) {
        offsets.insert(offsets.end(), {x, y, z});
      }
    }
  }
  return torch::tensor(offsets, torch::kLong).view({-1, 3}).to(device);
}

torch::Tensor row(const Extent& values, const torch::Tensor& like) {
  return torch::tensor({values[0], values[1], values[2]}, torch::kLong).to(like.device());
}

/// Where `wanted` sites [M, K, 4] stand in the input, N where they do not.
torch::Tensor look_up(const SparseTensor& input, const torch::Tensor& wanted) {
  const std::int64_t count = input.keys.size(0);
  const torch::Tensor cells = wanted.slice(2, 1);
  const torch::Tensor inside = ((cells >= 0) & (cells < row(input.shape, cells))).all(2);
  if (count == 0) {
    return torch::zeros({wanted.size(0), wanted.size(1)}, wanted.options());
  }
  const torch::Tensor keys = keys_of(wanted, input.shape);
  const torch::Tensor place = torch::searchsorted(input.keys, keys).clamp_max(count - 1);
  const torch::Tensor found = inside & (input.keys.index_select(0, place.flatten()).view_as(keys) == keys);
  return torch::where(found, place, torch::full_like(place, count));
}

/// The input sites that output sites [M, 4] read: in = out * stride - padding + offset; [M, K, 4].
torch::Tensor read_by(const torch::Tensor& sites, const Extent& kernel, const Extent& stride, const Extent& padding) {
  const torch::Tensor cells = (sites.slice(1, 1) * row(stride, sites) - row(padding, sites)).unsqueeze(1);
  const torch::Tensor read = cells + offsets_of(kernel, sites.device()).unsqueeze(0);
  const torch::Tensor batch = sites.slice(1, 0, 1).unsqueeze(1).expand({-1, read.size(1), 1});
  return torch::cat({batch, read}, 2);
}

}  // namespace

Neighbours submanifold_neighbours(const SparseTensor& input, const Extent& kernel) {
  if (std::any_of(kernel.begin(), kernel.end(), [](std::int64_t extent) { return extent % 2 == 0; })) {
    throw std::invalid_argument("a submanifold convolution needs a kernel with odd extents");
  }
  const Extent padding{kernel[0] / 2, kernel[1] / 2, kernel[2] / 2};
  const torch::Tensor table = look_up(input, read_by(input.sites(), kernel, {1, 1, 1}, padding));
  return {table, input.keys, input.shape, input.keys.size(0), true};
}

Neighbours strided_neighbours(const SparseTensor& input, const Extent& kernel, const Extent& stride, const Extent& padding) {
  Extent shape{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    shape[axis] = (input.shape[axis] + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1;
  }
  // Turned round: out * stride = in + padding - offset, where that divides.
  const torch::Tensor sites = input.sites();
  const torch::Tensor step = row(stride, sites);
  const torch::Tensor scaled =
      (sites.slice(1, 1) + row(padding, sites)).unsqueeze(1) - offsets_of(kernel, sites.device()).unsqueeze(0);
  const torch::Tensor cells = torch::div(scaled, step, "floor");
  const torch::Tensor reached = ((cells * step == scaled) & (cells >= 0) & (cells < row(shape, sites))).all(2);
  const torch::Tensor batch = sites.slice(1, 0, 1).unsqueeze(1).expand({-1, cells.size(1), 1});
  const torch::Tensor keys = keys_of(torch::cat({batch, cells}, 2), shape).masked_select(reached);
  const torch::Tensor unique = std::get<0>(at::_unique(keys, /*sorted=*/true));
  const torch::Tensor table = look_up(input, read_by(sites_of(unique, shape), kernel, stride, padding));
  return {table, unique, shape, input.keys.size(0), false};
}

}  // namespace bevfusion
