// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/sparse/neighbours.hpp"

#include <algorithm>
#include <array>
#include <stdexcept>
#include <vector>

#include <torch/torch.h>

namespace bevfusion {
namespace {

/// The cells that sites reach along one axis at each kernel offset, and whether they are cells of the grid; both [M, k].
struct Reach {
  torch::Tensor cells;
  torch::Tensor inside;
};

/// The input cells that output sites [M, 4] read along an axis: in = out * stride - padding + offset.
Reach read_along(std::size_t axis, const torch::Tensor& sites, const Extent& input, const Extent& kernel, const Extent& stride,
                 const Extent& padding) {
  const torch::Tensor first = sites.select(1, static_cast<std::int64_t>(axis) + 1) * stride[axis] - padding[axis];
  const torch::Tensor cells = first.unsqueeze(1) + torch::arange(kernel[axis], sites.options());
  return {cells, (cells >= 0) & (cells < input[axis])};
}

/// The output cells that input sites [N, 4] are read by: out = (in + padding - offset) / stride, where that divides.
Reach written_along(std::size_t axis, const torch::Tensor& sites, const Extent& output, const Extent& kernel,
                    const Extent& stride, const Extent& padding) {
  const torch::Tensor last = sites.select(1, static_cast<std::int64_t>(axis) + 1) + padding[axis];
  const torch::Tensor scaled = last.unsqueeze(1) - torch::arange(kernel[axis], sites.options());
  const torch::Tensor cells = torch::div(scaled, stride[axis], "floor");
  return {cells, (cells * stride[axis] == scaled) & (cells >= 0) & (cells < output[axis])};
}

/// Keys of the cells that three axes span, [M, K] with offsets x-major, and whether all three are inside. Axis by axis, since a
/// [M, K, 4] tensor of sites would be the largest thing that a sparse encoder ever writes.
Reach keys_of_reach(const torch::Tensor& sites, const std::array<Reach, 3>& axes, const Extent& shape) {
  const auto& [x, y, z] = axes;
  const torch::Tensor column =
      (sites.select(1, 0).unsqueeze(1) * shape[0] + x.cells).unsqueeze(2) * shape[1] + y.cells.unsqueeze(1);
  const torch::Tensor inside = x.inside.unsqueeze(2) & y.inside.unsqueeze(1);
  return {(column.unsqueeze(3) * shape[2] + z.cells.unsqueeze(1).unsqueeze(1)).flatten(1),
          (inside.unsqueeze(3) & z.inside.unsqueeze(1).unsqueeze(1)).flatten(1)};
}

template <class Along>
Reach reach(Along along, const torch::Tensor& sites, const Extent& shape, const Extent& kernel, const Extent& stride,
            const Extent& padding) {
  const auto axis = [&](std::size_t a) { return along(a, sites, shape, kernel, stride, padding); };
  return keys_of_reach(sites, {axis(0), axis(1), axis(2)}, shape);
}

/// Where the input sites that output sites [M, 4] read stand among the input's; N where none is active. [M, K]
torch::Tensor look_up(const SparseTensor& input, const torch::Tensor& sites, const Extent& kernel, const Extent& stride,
                      const Extent& padding) {
  const std::int64_t count = input.keys.size(0);
  const Reach wanted = reach(read_along, sites, input.shape, kernel, stride, padding);
  if (count == 0) {
    return torch::zeros_like(wanted.cells);
  }
  const torch::Tensor place = torch::searchsorted(input.keys, wanted.cells).clamp_max_(count - 1);
  const torch::Tensor found = input.keys.index_select(0, place.flatten()).view_as(place) == wanted.cells;
  return place.masked_fill_((found & wanted.inside).logical_not_(), count);
}

/// The neighbours of output sites on the CPU. At one offset the cells that ascending sites read ascend, too, so a walk through
/// the input's keys meets all of them.
Neighbours walk(const SparseTensor& input, const torch::Tensor& keys, const Extent& shape, const Extent& kernel,
                const Extent& stride, const Extent& padding) {
  const std::int64_t count = input.keys.size(0);
  const std::int64_t outputs = keys.size(0);
  const std::int64_t offsets = kernel[0] * kernel[1] * kernel[2];
  const torch::Tensor held = input.keys.contiguous();
  const torch::Tensor sites = sites_of(keys, shape).contiguous();
  torch::Tensor table = torch::full({outputs, offsets}, count, keys.options());
  const auto* const key = held.data_ptr<std::int64_t>();
  const auto* const site = sites.data_ptr<std::int64_t>();
  auto* const entry = table.data_ptr<std::int64_t>();
  std::vector<std::int64_t> readers;
  std::vector<std::int64_t> read;
  std::vector<std::int64_t> counts;
  for (std::int64_t offset = 0; offset < offsets; ++offset) {
    const Extent shift{offset / (kernel[1] * kernel[2]) - padding[0], offset / kernel[2] % kernel[1] - padding[1],
                       offset % kernel[2] - padding[2]};
    const std::size_t before = read.size();
    std::int64_t place = 0;
    for (std::int64_t m = 0; m < outputs; ++m) {
      std::int64_t wanted = site[4 * m];
      bool inside = true;
      for (std::size_t axis = 0; axis < 3; ++axis) {
        const std::int64_t cell = site[4 * m + 1 + static_cast<std::int64_t>(axis)] * stride[axis] + shift[axis];
        inside = inside && cell >= 0 && cell < input.shape[axis];
        wanted = wanted * input.shape[axis] + cell;
      }
      if (!inside) {
        continue;
      }
      while (place < count && key[place] < wanted) {
        ++place;
      }
      if (place < count && key[place] == wanted) {
        entry[m * offsets + offset] = place;
        readers.push_back(m);
        read.push_back(place);
      }
    }
    counts.push_back(static_cast<std::int64_t>(read.size() - before));
  }
  return {table, keys, shape, {torch::tensor(readers, keys.options()), torch::tensor(read, keys.options()), counts}};
}

Neighbours found(const SparseTensor& input, const torch::Tensor& keys, const Extent& shape, const Extent& kernel,
                 const Extent& stride, const Extent& padding, bool by_search) {
  if (keys.is_cpu() && !by_search) {
    return walk(input, keys, shape, kernel, stride, padding);
  }
  return {look_up(input, sites_of(keys, shape), kernel, stride, padding), keys, shape, {}};
}

}  // namespace

Neighbours submanifold_neighbours(const SparseTensor& input, const Extent& kernel, bool by_search) {
  if (std::any_of(kernel.begin(), kernel.end(), [](std::int64_t extent) { return extent % 2 == 0; })) {
    throw std::invalid_argument("a submanifold convolution needs a kernel with odd extents");
  }
  const Extent padding{kernel[0] / 2, kernel[1] / 2, kernel[2] / 2};
  return found(input, input.keys, input.shape, kernel, {1, 1, 1}, padding, by_search);
}

Neighbours strided_neighbours(const SparseTensor& input, const Extent& kernel, const Extent& stride, const Extent& padding,
                              bool by_search) {
  Extent shape{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    shape[axis] = (input.shape[axis] + 2 * padding[axis] - kernel[axis]) / stride[axis] + 1;
  }
  const Reach written = reach(written_along, input.sites(), shape, kernel, stride, padding);
  const torch::Tensor sorted = std::get<0>(written.cells.masked_select(written.inside).sort());
  const torch::Tensor keys = std::get<0>(torch::unique_consecutive(sorted));
  return found(input, keys, shape, kernel, stride, padding, by_search);
}

}  // namespace bevfusion
