// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bevfusion/camera/lift_splat.hpp"
#include "bevfusion/camera/swin.hpp"
#include "bevfusion/fusion/second.hpp"
#include "bevfusion/heads/fuller_det.hpp"
#include "bevfusion/heads/fuller_seg.hpp"
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/lidar/pillars.hpp"
#include "bevfusion/lidar/voxel_net.hpp"
#include "bevfusion/lidar/voxels.hpp"
#include "bevfusion/matching/bev_grid.hpp"
#include "bevfusion/matching/box_coder.hpp"
#include "bevfusion/tasks/task_choices.hpp"

namespace bevfusion {

/// Which parts a model has.
struct ModelParts {
  bool lidar = true;
  bool camera = true;
  TaskChoices tasks;
};

/// Every number of a model. The defaults are the full model; the smaller sizes differ in numbers alone.
///
/// Parts are chosen by the names under which they are registered (model/kinds.hpp).
struct ModelConfig {
  ModelParts parts;
  bool separate_towers = false;  ///< a network for each task instead of a shared one
  bool separate_bev = false;     ///< a BEV backbone for each task, downstream of shared branches and fuser (BEVFusion's "sep")

  std::string lidar_backbone = "voxel_net";  ///< or "pillars"
  std::string image_backbone = "swin";       ///< or "resnet50", "efficientnet_b0", "conv"
  /// Or "direct": the BEV backbone reads the branches' channels itself; "cross_attention", "joint_attention": DMFuser's.
  std::string fuser = "concat";
  std::string bev_backbone = "second";
  std::string detection_head = "fuller_det";     ///< or "centerpoint"; "unified" in both: one decoder for boxes and masks
  std::string segmentation_head = "fuller_seg";  ///< of map and foreground masks; or "dense_map", BEVFusion's

  std::string detection_label_set = standard_detection_labels;  ///< what the detection head may tell apart
  /// Those labels of the set that it does tell apart, in the order of its outputs, parted by commas; the whole set where empty.
  std::string detection_classes;
  /// Those of the set whose peaks in the heat map are single cells, parted by commas; `set`: those of which the set says so.
  std::string point_classes = "set";
  std::string map_label_set = standard_map_labels;  ///< what the segmentation head may tell apart (labels/label_sets.hpp)
  /// Those labels of the set that it does tell apart, in the order of its outputs, parted by commas; the whole set where empty.
  std::string map_classes;

  /// Numbers of parts that have no fields here, as `name.number=value` parted by commas; see number_of().
  std::string numbers;

  VoxelGrid voxels = full_voxel_grid;
  VoxelNetOptions voxel_net;
  PillarOptions pillars;

  SwinOptions swin;
  std::int64_t neck = 256;  ///< channels of the neck after Swin and the like
  LiftSplatOptions lift_splat;

  std::int64_t fused = 256;       ///< channels after the fuser
  SecondOptions bev;              ///< `inputs` is filled in
  FullerDetOptions detection;     ///< `inputs`, `classes` and `point_classes` are filled in
  FullerSegOptions segmentation;  ///< `inputs` and `classes` are filled in
  std::int64_t foreground_masks = 3;
  CentreLimits centre_limits;  ///< of predicted boxes, around the LiDAR
  /// m/s above which a predicted box gets its label's `travelling` attribute; < 0: as the label says.
  double moving_speed = -1;

  double bev_range = 51.2;  ///< metres to each side
  double bev_cell = 0.8;

  /// The BEV maps' cells.
  BevGrid bev_grid() const;
};

/// The names in a list parted by commas, without the blanks around them.
std::vector<std::string> names_in(const std::string& list);

/// The value of `name` in config.numbers, or `otherwise` where it is not there.
/// @throws std::invalid_argument for a list that cannot be read
double number_of(const ModelConfig& config, const std::string& name, double otherwise);

ModelConfig full_model();
ModelConfig small_model();
ModelConfig tiny_model();

/// The config of a size by name.
/// @throws std::invalid_argument for another name than tiny, small or full.
ModelConfig model_of_size(const std::string& size);

}  // namespace bevfusion
