// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/config_fields.hpp"

namespace bevfusion {

void add_data_fields(FieldList& list, DataConfig& data) {
  list.add("data.root", &data.root, "Folder of the data set, with samples/, maps/ and the tables' folder").also("data");
  list.add("data.version", &data.version, "Name of the tables' folder: v1.0-mini, v1.0-trainval, v1.0-synth").also("version");
  list.add("data.cameras", &data.cameras, "Channels of the cameras that the network sees, six at most, parted by commas");
  list.add("data.lidar", &data.lidar, "Channel of the LiDAR");
  list.add("data.train_split", &data.train_split, "Split to train on");
  list.add("data.validation_split", &data.validation_split, "Split to evaluate on");
  list.add("data.labels", &data.labels,
           "Labels of the training samples: all; or boxes on 3 of 4 and maps on the others; or each on one half (FULLER, Tab. 2)")
      .one_of({"full", "disjoint_normal", "disjoint_balance"});
  list.add("data.one_task_batches", &data.one_task_batches,
           "With parted labels, a batch holds samples with labels of the same task: a rule then compares nothing, each task "
           "keeps its weight");
  list.add("data.sampling", &data.sampling,
           "Training samples of an epoch: each once, or resampled so that each class of boxes appears about equally often (CBGS)")
      .one_of({"uniform", "class_balanced"});
  list.add("data.threads", &data.threads, "Threads that load samples").within(1, 1024).also("threads");
  list.add("data.ahead", &data.ahead, "Batches loaded ahead").within(1, 1024);
}

void add_loading_fields(FieldList& list, LoadingOptions& loading) {
  list.add("loading.sweeps", &loading.sweeps, "LiDAR sweeps, the key frame's included; several, or velocity cannot be learnt")
      .within(1, 100)
      .also("sweeps");
  list.add("loading.augment", &loading.augment, "Vary the training samples; evaluation never does");
  list.add("loading.shuffle_points", &loading.shuffle_points,
           "Training samples have their points in random order, so that the limit on voxels meets all sweeps alike");
  list.add("loading.camera_dropout", &loading.camera_dropout,
           "Chance that a training sample is without a camera, for each camera by itself")
      .within(0, 1);
  list.add("loading.points.close", &loading.points.close, "Returns nearer than this along x and y are the car itself, m")
      .at_least(0);
  list.add("loading.points.close_in_key_frame", &loading.points.close_in_key_frame, "Leave them out of the key frame, too");
  list.add("loading.points.beams", &loading.points.beams, "Beams that the LiDAR has left of its 32, evenly spread; 32: all")
      .within(1, 32)
      .also("beams");

  PasteOptions& paste = loading.paste;
  list.add("loading.paste.on", &paste.on, "Paste objects of other samples into the point clouds; without cameras alone");
  list.add("loading.paste.objects", &paste.objects,
           "Objects of a label that a cloud is filled up to: label=number, parted by commas");
  list.add("loading.paste.least_points", &paste.least_points, "Points that an object needs, as annotated").within(1, 1e6);
  list.add("loading.paste.pool", &paste.pool, "Training samples that objects are taken from").within(1, 1e6);
  list.add("loading.paste.without", &paste.without, "Last epochs, in which nothing is pasted").at_least(0);

  ImageAugmentationOptions& image = loading.image;
  list.add("loading.image.least_resize", &image.least_resize, "Least resizing of a picture 1600 pixels wide").within(1e-3, 10);
  list.add("loading.image.most_resize", &image.most_resize, "Most resizing").within(1e-3, 10);
  list.add("loading.image.fixed_resize", &image.fixed_resize, "Resizing without augmentation").within(1e-3, 10);
  list.add("loading.image.rotation", &image.rotation, "Pictures are turned up to so many degrees either way").within(0, 180);
  list.add("loading.image.flip", &image.flip, "Pictures are flipped every other time (the paper's flip, read as of pictures)");

  BevAugmentationOptions& bev = loading.bev;
  list.add("loading.bev.rotation", &bev.rotation, "Surroundings are turned up to so many radians either way").within(0, 3.15);
  list.add("loading.bev.least_scale", &bev.least_scale, "Least scaling of the surroundings").within(0.1, 10);
  list.add("loading.bev.most_scale", &bev.most_scale, "Most scaling").within(0.1, 10);
  list.add("loading.bev.translation", &bev.translation, "Surroundings are shifted up to so many metres along x and y")
      .within(0, 100);
  list.add("loading.bev.flip_x", &bev.flip_x, "x becomes -x every other time (the paper's flip, read as of the BEV)");
  list.add("loading.bev.flip_y", &bev.flip_y, "y becomes -y every other time");

  list.add("loading.masks.rule", &loading.masks.rule,
           "Cells that a map shape covers: devkit, those that nuScenes' devkit draws; centres, those whose centre is in it")
      .one_of({mask_rules.begin(), mask_rules.end()});
  list.add("loading.masks.outline", &loading.masks.outline, "By centres: areas include the cells of their outline as well");
  list.add("loading.masks.line_width", &loading.masks.line_width, "Width of lines whose label has none of its own, cells")
      .within(0, 100);
}

}  // namespace bevfusion
