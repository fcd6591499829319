// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/lidar/pillars.hpp"

#include <cmath>
#include <memory>
#include <sstream>
#include <stdexcept>

#include <torch/torch.h>

#include "bevfusion/lidar/voxels.hpp"
#include "bevfusion/model/blocks.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {
namespace {

constexpr std::int64_t own_features = 5;  // three offsets from the mean, two from the middle

struct Kept {
  torch::Tensor points;  ///< [P, F]
  torch::Tensor cell;    ///< [P]: x Y + y, ascending
};

/// The points of one cloud that pillars keep, pillar by pillar.
Kept keep(const torch::Tensor& cloud, const PillarGrid& grid, const PillarOptions& options) {
  if (cloud.dim() != 2 || cloud.size(1) < 3) {
    std::ostringstream text;
    text << "a point cloud needs the shape [points, 3 or more], got " << cloud.sizes();
    throw std::invalid_argument(text.str());
  }
  const torch::NoGradGuard no_grad;
  const auto row = [&](const std::array<double, 3>& values) {
    return torch::tensor({values[0], values[1], values[2]}, torch::kDouble).to(cloud.device());
  };
  const torch::Tensor position = cloud.slice(1, 0, 3).to(torch::kDouble);
  const torch::Tensor inside = ((position >= row(grid.lowest)) & (position < row(grid.highest))).all(1);  // NaN compares false
  const torch::Tensor kept = inside.nonzero().flatten();
  const auto along = [&](std::int64_t axis) {
    const torch::Tensor at =
        (position.select(1, axis).index_select(0, kept) - grid.lowest[static_cast<std::size_t>(axis)]) / grid.cell;
    return at.floor().to(torch::kLong).clamp_max(grid.cells(static_cast<std::size_t>(axis)) - 1);
  };
  const torch::Tensor cell = along(0) * grid.cells(1) + along(1);
  const auto [sorted, order] = cell.sort(/*stable=*/true, /*dim=*/0, /*descending=*/false);
  torch::Tensor chosen = sorted.numel() == 0 ? torch::zeros({0}, cell.options())
                                             : (rank_in_group(sorted) < options.points_per_pillar).nonzero().flatten();
  const auto [unique, pillar] = at::_unique(sorted.index_select(0, chosen), /*sorted=*/true, /*return_inverse=*/true);
  if (unique.size(0) > options.most_pillars) {
    // First come, first kept: by the first point of each pillar, which stands first among the pillar's.
    const torch::Tensor source = order.index_select(0, chosen);
    const torch::Tensor first = torch::full({unique.size(0)}, cloud.size(0), source.options())
                                    .scatter_reduce(0, pillar, source, "amin", /*include_self=*/true);
    torch::Tensor wanted = torch::zeros({unique.size(0)}, source.options().dtype(torch::kBool));
    wanted.index_fill_(0, first.argsort().slice(0, 0, options.most_pillars), true);
    chosen = chosen.masked_select(wanted.index_select(0, pillar));
  }
  return {cloud.index_select(0, kept.index_select(0, order.index_select(0, chosen))), sorted.index_select(0, chosen)};
}

}  // namespace

std::int64_t PillarGrid::cells(std::size_t axis) const { return std::llround((highest[axis] - lowest[axis]) / cell); }

PillarPoints gather_pillars(const std::vector<torch::Tensor>& clouds, const PillarGrid& grid, const PillarOptions& options) {
  if (clouds.empty()) {
    throw std::invalid_argument("gather_pillars() got no point cloud");
  }
  const std::int64_t cells = grid.cells(0) * grid.cells(1);
  std::vector<torch::Tensor> points;
  std::vector<torch::Tensor> cell;
  for (std::size_t b = 0; b < clouds.size(); ++b) {
    const Kept kept = keep(clouds[b], grid, options);
    points.push_back(kept.points);
    cell.push_back(kept.cell + static_cast<std::int64_t>(b) * cells);
  }
  const torch::Tensor all = torch::cat(points);
  const torch::Tensor cell_of = torch::cat(cell);
  const auto [unique, pillar, count] = at::_unique2(cell_of, /*sorted=*/true, /*return_inverse=*/true, /*return_counts=*/true);
  const torch::Tensor place = all.slice(1, 0, 3);
  const torch::Tensor sum = torch::zeros({unique.size(0), 3}, all.options()).index_add_(0, pillar, place);
  const torch::Tensor mean = sum / count.unsqueeze(1).to(all.scalar_type());
  const torch::Tensor within = cell_of.remainder(cells);
  const torch::Tensor index = torch::stack({torch::div(within, grid.cells(1), "floor"), within.remainder(grid.cells(1))}, 1);
  const torch::Tensor corner = torch::tensor({grid.lowest[0], grid.lowest[1]}, torch::kDouble).to(all.device());
  const torch::Tensor middle = ((index.to(torch::kDouble) + 0.5) * grid.cell + corner).to(all.scalar_type());
  return {torch::cat({all, place - mean.index_select(0, pillar), place.slice(1, 0, 2) - middle}, 1), pillar, unique};
}

PillarsImpl::PillarsImpl(const PillarGrid& grid, double bev_cell, const PillarOptions& options) : grid_(grid), options_(options) {
  const double halvings = std::log2(bev_cell / grid.cell);
  const auto count = std::lround(halvings);
  if (count < 0 || std::abs(halvings - static_cast<double>(count)) > 1e-6) {
    std::ostringstream text;
    text << "pillars of " << grid.cell << " m never become cells of " << bev_cell << " m by doubling";
    throw std::invalid_argument(text.str());
  }
  ConvOptions keep_size;
  keep_size.eps = 1e-3;
  keep_size.momentum = 0.01;
  ConvOptions halve = keep_size;
  halve.stride = 2;
  linear_ = register_module(
      "linear", torch::nn::Linear(torch::nn::LinearOptions(options.inputs + own_features, options.channels).bias(false)));
  norm_ = register_module("norm", BatchNorm(torch::nn::BatchNormOptions(options.channels).eps(1e-3).momentum(0.01)));
  torch::nn::Sequential layers;
  std::int64_t channels = options.channels;
  for (long step = 0; step < count; ++step) {
    layers->push_back(ConvBlock(channels, options.map_channels, halve));
    channels = options.map_channels;
  }
  layers->push_back(ConvBlock(channels, options.map_channels, keep_size));
  convolve_ = register_module("convolve", layers);
}

torch::Tensor PillarsImpl::scatter(const std::vector<torch::Tensor>& clouds) {
  const PillarPoints points = gather_pillars(clouds, grid_, options_);
  const auto batch = static_cast<std::int64_t>(clouds.size());
  const std::int64_t rows = grid_.cells(0);
  const std::int64_t columns = grid_.cells(1);
  const torch::Tensor features = normalise_rows(norm_, linear_->forward(points.features)).relu();
  // Values are 0 or more, so that a pillar's largest value over zeros is its own.
  const torch::Tensor index = points.pillar.unsqueeze(1).expand_as(features);
  const torch::Tensor largest = torch::zeros({points.cell.size(0), options_.channels}, features.options())
                                    .scatter_reduce(0, index, features, "amax", /*include_self=*/false);
  const torch::Tensor map =
      torch::zeros({batch * rows * columns, options_.channels}, features.options()).index_copy(0, points.cell, largest);
  return map.view({batch, rows, columns, options_.channels}).permute({0, 3, 1, 2}).contiguous();
}

torch::Tensor PillarsImpl::forward(const std::vector<torch::Tensor>& clouds) { return convolve_->forward(scatter(clouds)); }

void register_pillars(Kinds& kinds) {
  kinds.lidar_backbones.add("pillars", [](const ModelConfig& config) {
    return std::make_shared<PillarsImpl>(PillarGrid{config.voxels.lowest, config.voxels.highest, config.pillars.cell},
                                         config.bev_cell, config.pillars);
  });
}

}  // namespace bevfusion
