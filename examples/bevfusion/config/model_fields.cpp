// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/config_fields.hpp"

namespace bevfusion {
namespace {

void add_lidar_fields(FieldList& list, ModelConfig& model) {
  VoxelGrid& voxels = model.voxels;
  list.add("model.voxels.lowest", &voxels.lowest, "Corner of the space that is cut into voxels: x, y, z, m");
  list.add("model.voxels.highest", &voxels.highest, "The opposite corner, m");
  list.add("model.voxels.size", &voxels.size, "Size of a voxel: x, y, z, m").at_least(1e-3);
  list.add("model.voxels.points_per_voxel", &voxels.points_per_voxel, "Points of a voxel that count, the first ones").at_least(1);
  list.add("model.voxels.most_voxels", &voxels.most_voxels, "Voxels of a sample that are kept, the first ones").at_least(1);
  list.add("model.voxel_net.inputs", &model.voxel_net.inputs, "Features of a point: x, y, z, intensity, age").within(5, 5);
  list.add("model.voxel_net.channels", &model.voxel_net.channels, "Channels of the stages; each but the first halves the grid")
      .at_least(1);
  list.add("model.voxel_net.blocks", &model.voxel_net.blocks, "Residual blocks of each stage").within(0, 1000);

  PillarOptions& pillars = model.pillars;
  list.add("model.pillars.inputs", &pillars.inputs, "Features of a point: x, y, z, intensity, age").within(5, 5);
  list.add("model.pillars.cell", &pillars.cell, "Edge of a pillar, m; model.bev_cell halved any number of times").at_least(1e-3);
  list.add("model.pillars.channels", &pillars.channels, "Channels of a pillar").at_least(1);
  list.add("model.pillars.map_channels", &pillars.map_channels, "Channels of the LiDAR branch's BEV map").at_least(1);
  list.add("model.pillars.points_per_pillar", &pillars.points_per_pillar, "Points of a pillar that count, the first ones")
      .at_least(1);
  list.add("model.pillars.most_pillars", &pillars.most_pillars, "Pillars of a sample that are kept, the first ones").at_least(1);
}

void add_camera_fields(FieldList& list, ModelConfig& model) {
  SwinOptions& swin = model.swin;
  list.add("model.swin.embedding", &swin.embedding, "Channels of the first stage; each later one doubles them").at_least(1);
  list.add("model.swin.depths", &swin.depths, "Blocks of the four stages").within(1, 1000);
  list.add("model.swin.heads", &swin.heads, "Attention heads of the four stages").at_least(1);
  list.add("model.swin.window", &swin.window, "Side of an attention window, tokens").at_least(1);
  list.add("model.swin.patch", &swin.patch, "Side of a patch, pixels").within(4, 4);
  list.add("model.swin.mlp_ratio", &swin.mlp_ratio, "Hidden channels of the MLPs, of the block's").at_least(1);
  list.add("model.swin.drop_path", &swin.drop_path, "Share of samples whose last block is skipped; rises linearly from 0")
      .within(0, 0.99);

  LiftSplatOptions& lift = model.lift_splat;
  list.add("model.lift_splat.image_height", &lift.image_height, "Height of the network's pictures, pixels").at_least(8);
  list.add("model.lift_splat.image_width", &lift.image_width, "Width of the network's pictures, pixels").at_least(8);
  list.add("model.lift_splat.first_depth", &lift.first_depth, "Nearest depth, m").at_least(1e-3);
  list.add("model.lift_splat.depth_step", &lift.depth_step, "Distance between depths, m").at_least(1e-3);
  list.add("model.lift_splat.depths", &lift.depths, "Depths a pixel may have").at_least(1);
  list.add("model.lift_splat.channels", &lift.channels, "Channels of the camera branch's BEV map").at_least(1);
  list.add("model.lift_splat.range", &lift.range, "Reach of the splat to each side, m; model.bev_range").at_least(1e-3);
  list.add("model.lift_splat.cell", &lift.cell, "Edge of a cell of the splat, m").at_least(1e-3);
  list.add("model.lift_splat.lowest_z", &lift.lowest_z, "Points below are not splatted, m");
  list.add("model.lift_splat.highest_z", &lift.highest_z, "Points above are not splatted, m");
  list.add("model.lift_splat.downsample", &lift.downsample, "Three convolutions after the splat that halve it; else one");
}

void add_head_fields(FieldList& list, ModelConfig& model) {
  FullerDetOptions& detection = model.detection;
  list.add("model.detection.channels", &detection.channels, "Channels of Fuller-det").at_least(1);
  list.add("model.detection.queries", &detection.queries, "Queries, so boxes, a sample").at_least(1);
  list.add("model.detection.heads", &detection.heads, "Attention heads").at_least(1);
  list.add("model.detection.feed_forward", &detection.feed_forward, "Hidden channels of the decoder layer").at_least(1);
  list.add("model.detection.branch", &detection.branch, "Hidden channels of each prediction").at_least(1);
  list.add("model.detection.dropout", &detection.dropout, "Dropout of the decoder layer").within(0, 0.99);
  list.add("model.detection.score_bias", &detection.score_bias, "Bias that heat map and class start with; -2.19: 0.1")
      .within(-50, 50);
  list.add("model.detection.moving_speed", &model.moving_speed,
           "Speed above which a predicted box gets its label's attribute of moving ones, m/s; < 0: the label's, 0.2 of nuScenes")
      .within(-1, 1000);
  list.add("model.detection.limits.x", &model.centre_limits.x, "Predicted boxes are left out beyond this along x, m").at_least(0);
  list.add("model.detection.limits.y", &model.centre_limits.y, "Beyond this along y, m").at_least(0);
  list.add("model.detection.limits.z", &model.centre_limits.z, "Beyond this along z, m").at_least(0);

  FullerSegOptions& segmentation = model.segmentation;
  list.add("model.segmentation.channels", &segmentation.channels, "Channels of Fuller-seg").at_least(4);
  list.add("model.segmentation.kernel", &segmentation.kernel, "Kernel of the convolution before the masks (the '1d-conv')")
      .within(1, 7);
  list.add("model.segmentation.feed_forward", &segmentation.feed_forward, "Hidden channels of the decoder layer").at_least(1);
  list.add("model.segmentation.heads", &segmentation.heads, "Attention heads").at_least(1);
  list.add("model.segmentation.dropout", &segmentation.dropout, "Dropout of the decoder layer").within(0, 0.99);
  list.add("model.segmentation.self_attention", &segmentation.self_attention, "Queries look at each other, too");
  list.add("model.segmentation.map_range", &segmentation.map_range, "Reach of the shared map, m; model.bev_range").at_least(1e-3);
  list.add("model.segmentation.mask.range", &segmentation.mask.range, "Reach of the masks to each side, m").at_least(1e-3);
  list.add("model.segmentation.mask.cells", &segmentation.mask.cells, "Cells along a side of the masks").at_least(1);
}

}  // namespace

void add_task_fields(FieldList& list, TaskChoices& tasks) {
  for (TaskChoice& task : tasks.all()) {
    for (const NumberSheet& number : task.sheet.numbers) {
      list.add("tasks." + task.sheet.name + "." + number.name, &task.numbers.at(number.name), number.help)
          .within(number.least, number.most);
    }
  }
}

void add_model_fields(FieldList& list, ModelConfig& model) {
  list.add("model.separate_towers", &model.separate_towers, "A network for each task instead of a shared one")
      .also("separate-towers");
  list.add("model.separate_bev", &model.separate_bev,
           "A BEV backbone for each task, downstream of shared branches and a shared fuser");
  list.add("model.lidar_backbone", &model.lidar_backbone, "Network of the points: voxel_net, pillars");
  list.add("model.image_backbone", &model.image_backbone, "Network of the pictures: swin, resnet50, efficientnet_b0, conv");
  list.add("model.fuser", &model.fuser,
           "What joins the branches: concat; direct, which leaves it to the BEV backbone; cross_attention, joint_attention");
  list.add("model.bev_backbone", &model.bev_backbone, "Network of the fused map: second");
  list.add("model.detection_head", &model.detection_head, "Head of the boxes: fuller_det, centerpoint, unified");
  list.add("model.segmentation_head", &model.segmentation_head, "Head of the masks: fuller_seg, dense_map, unified");
  list.add("model.detection_label_set", &model.detection_label_set, "Set of labels of the boxes: nuscenes_boxes");
  list.add("model.detection_classes", &model.detection_classes,
           "Those labels of the set that are told apart, in the order of the outputs, parted by commas; all where empty");
  list.add("model.point_classes", &model.point_classes,
           "Labels whose peaks in the heat map are single cells; set: those of which the set says so");
  list.add("model.map_label_set", &model.map_label_set, "Set of labels of the map: bevfusion_map, hdmapnet_map");
  list.add("model.map_classes", &model.map_classes,
           "Those labels of the set that are told apart, in the order of the outputs, parted by commas; all where empty");
  list.add("model.numbers", &model.numbers, "Numbers of parts without fields of their own: name.number=value, parted by commas");
  list.add("model.neck", &model.neck, "Channels of the neck after swin, resnet50 or efficientnet_b0").at_least(1);
  list.add("model.fused", &model.fused, "Channels after the fuser").at_least(1);
  list.add("model.foreground_masks", &model.foreground_masks,
           "Masks of foreground segmentation: 1, one a group (3 of nuScenes) or one a label of boxes")
      .at_least(1);
  list.add("model.bev_range", &model.bev_range, "Reach of the BEV maps to each side, m").at_least(1e-3);
  list.add("model.bev_cell", &model.bev_cell, "Edge of a BEV cell, m").at_least(1e-3);
  list.add("model.parts.lidar", &model.parts.lidar, "LiDAR branch (VoxelNet)").also("lidar");
  list.add("model.parts.camera", &model.parts.camera, "Camera branch (image backbone, lift-splat)").also("camera");
  for (TaskChoice& task : model.parts.tasks.all()) {
    if (task.sheet.splits.empty()) {
      auto field = list.add("model.parts." + task.sheet.name, &task.on, task.sheet.help);
      if (task.sheet.labels != TaskLabels::its_own) {  // those of every data set are chosen often
        field.also(task.sheet.name);
      }
    }
  }
  add_lidar_fields(list, model);
  add_camera_fields(list, model);
  list.add("model.bev.channels", &model.bev.channels, "Channels of SECOND's two blocks").at_least(1);
  list.add("model.bev.layers", &model.bev.layers, "Layers of each block after its first").within(0, 1000);
  list.add("model.bev.up", &model.bev.up, "Channels of each of the FPN's two maps").at_least(1);
  add_head_fields(list, model);
}

}  // namespace bevfusion
