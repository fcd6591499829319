// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bevfusion/camera/lift_splat.hpp"
#include "bevfusion/camera/swin.hpp"
#include "bevfusion/fusion/bev_backbone.hpp"
#include "bevfusion/heads/fuller_det.hpp"
#include "bevfusion/heads/fuller_seg.hpp"
#include "bevfusion/lidar/voxel_net.hpp"
#include "bevfusion/lidar/voxels.hpp"
#include "bevfusion/matching/bev_grid.hpp"

namespace bevfusion {

/// Which parts a model has.
struct ModelParts {
  bool lidar = true;
  bool camera = true;
  bool detection = true;
  bool segmentation = true;
  bool foreground = false;  ///< segmentation of objects' footprints, FULLER's third task
};

/// Every number of a model. The defaults are the full model; the smaller sizes differ in numbers alone.
struct ModelConfig {
  ModelParts parts;
  bool separate_towers = false;  ///< a network for each task instead of a shared one

  VoxelGrid voxels{{-51.2, -51.2, -5.0}, {51.2, 51.2, 3.0}, {0.1, 0.1, 0.2}};
  VoxelNetOptions voxel_net;

  std::string image_backbone = "swin";  ///< or "conv"
  SwinOptions swin;
  std::int64_t neck = 256;  ///< channels of the neck behind Swin
  LiftSplatOptions lift_splat;

  std::int64_t fused = 256;       ///< channels behind the fuser
  BevBackboneOptions bev;         ///< `inputs` is filled in
  FullerDetOptions detection;     ///< `inputs` is filled in
  FullerSegOptions segmentation;  ///< `inputs` is filled in
  std::int64_t foreground_masks = 3;

  double bev_range = 51.2;  ///< metres to each side
  double bev_cell = 0.8;

  /// The BEV maps' cells.
  BevGrid bev_grid() const;
};

ModelConfig full_model();
ModelConfig small_model();
ModelConfig tiny_model();

/// The config of a size by name.
/// @throws std::invalid_argument for another name than tiny, small or full.
ModelConfig model_of_size(const std::string& size);

}  // namespace bevfusion
