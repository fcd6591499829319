// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/run_config.hpp"

#include <algorithm>

#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/labels.hpp"

namespace bevfusion {

RunConfig run_of_size(const std::string& size) {
  RunConfig config;
  config.size = size;
  config.model = model_of_size(size);
  config.loading = loading_options(config.model);
  if (size == "full") {
    // FULLER's 16 samples a step were 2 on each of 8 GPUs, each with its own batch statistics.
    config.training.accumulate = 8;
  } else if (size == "small") {
    config.data.version = "v1.0-synth";
    config.loading.sweeps = 5;
    config.training.batch = 8;
    config.training.epochs = 20;
  } else {
    config.data.version = "v1.0-synth";
    config.loading.sweeps = 3;
    config.training.batch = 4;
    config.training.epochs = 12;
    config.training.learning_rate = 2e-3;
    config.training.clip = 35;
    config.training.checkpoint_every = 100;
  }
  complete(config);
  return config;
}

TablesOptions tables_options(const DataConfig& data) {
  TablesOptions options;
  if (data.cameras != DataConfig().cameras) {
    options.cameras = names_in(data.cameras);
  }
  options.lidar = data.lidar;
  return options;
}

void complete(RunConfig& config, const LabelSets& sets) {
  const ModelConfig& model = config.model;
  config.loading.lidar = model.parts.lidar;
  config.loading.cameras = model.parts.camera;
  config.loading.camera_slots = std::min(names_in(config.data.cameras).size(), camera_count);
  config.loading.image.width = static_cast<int>(model.lift_splat.image_width);
  config.loading.image.height = static_cast<int>(model.lift_splat.image_height);
  config.loading.grid.reach = model.segmentation.mask.range;
  config.loading.grid.cells = static_cast<int>(model.segmentation.mask.cells);
  config.loading.box_labels = box_labels(model, sets);
  for (DetectionLabel& label : config.loading.box_labels) {
    label.moving_speed = model.moving_speed < 0 ? label.moving_speed : model.moving_speed;
  }
  config.loading.map_labels = map_labels(model, sets);
  config.loading.seed = config.training.seed;
}

}  // namespace bevfusion
