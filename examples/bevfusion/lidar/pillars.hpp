// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "bevfusion/lidar/lidar_backbone.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

/// Numbers of the pillar backbone. Defaults: the full model, near PointPillars' for nuScenes.
struct PillarOptions {
  std::int64_t inputs = 5;          ///< features of a point
  double cell = 0.2;                ///< edge of a pillar, m; bev_cell halved any number of times
  std::int64_t channels = 64;       ///< of a pillar
  std::int64_t map_channels = 128;  ///< of the BEV map
  std::int64_t points_per_pillar = 20;
  std::int64_t most_pillars = 30000;
};

/// Where pillars stand: the square columns of a grid over [lowest, highest), metres.
struct PillarGrid {
  std::array<double, 3> lowest;
  std::array<double, 3> highest;
  double cell;

  std::int64_t cells(std::size_t axis) const;
};

/// The points that pillars keep and what the network is told of each.
///
/// Of a pillar the first `points_per_pillar` points in the cloud's order count, and the `most_pillars` pillars that a point
/// reaches first are kept. Points outside of the grid, and points with a coordinate that is not finite, are dropped.
struct PillarPoints {
  torch::Tensor
      features;          ///< [P, F + 5]: the point's, its offset from the mean of its pillar (x, y, z) and from its middle (x, y)
  torch::Tensor pillar;  ///< [P] int64, the pillar of each point
  torch::Tensor cell;    ///< [V] int64, (b X + x) Y + y of each pillar, ascending
};

/// @param clouds  one [N_b, F] float tensor a sample, F at least 3
/// @throws std::invalid_argument for no cloud or one of another shape
PillarPoints gather_pillars(const std::vector<torch::Tensor>& clouds, const PillarGrid& grid, const PillarOptions& options);

/// PointPillars' LiDAR branch: a linear layer, batch normalisation and ReLU on every point, the largest value of each channel in
/// a pillar, and a BEV map of them that strided convolutions bring to the shared resolution.
class PillarsImpl : public LidarBackbone {
 public:
  /// @param bev_cell  edge of the shared BEV map's cells, m
  /// @throws std::invalid_argument where halving bev_cell never gives the pillars' edge
  PillarsImpl(const PillarGrid& grid, double bev_cell, const PillarOptions& options = {});

  torch::Tensor forward(const std::vector<torch::Tensor>& clouds) override;
  std::int64_t channels() const override { return options_.map_channels; }

  /// The pillars' features as a map [B, options.channels, X, Y], before the convolutions: 0 where no pillar stands.
  torch::Tensor scatter(const std::vector<torch::Tensor>& clouds);

 private:
  PillarGrid grid_;
  PillarOptions options_;
  torch::nn::Linear linear_{nullptr};
  BatchNorm norm_{nullptr};
  torch::nn::Sequential convolve_{nullptr};
};
TORCH_MODULE(Pillars);

}  // namespace bevfusion
