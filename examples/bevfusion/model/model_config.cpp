// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/model_config.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>

namespace bevfusion {

BevGrid ModelConfig::bev_grid() const {
  const auto cells = static_cast<std::size_t>(std::llround(2 * bev_range / bev_cell));
  return {-bev_range, -bev_range, bev_cell, cells, cells};
}

std::vector<std::string> names_in(const std::string& list) {
  std::vector<std::string> names;
  for (std::size_t from = 0; from <= list.size();) {
    const std::size_t to = std::min(list.find(',', from), list.size());
    const std::size_t first = list.find_first_not_of(" \t", from);
    if (first < to) {
      const std::size_t last = list.find_last_not_of(" \t", to - 1);
      names.push_back(list.substr(first, last - first + 1));
    }
    from = to + 1;
  }
  return names;
}

ModelConfig full_model() { return {}; }

ModelConfig small_model() {
  ModelConfig config;
  config.voxels.size = {0.2, 0.2, 0.4};
  config.voxel_net.channels = {16, 32, 64};
  config.pillars.cell = 0.4;
  config.pillars.channels = 32;
  config.pillars.map_channels = 64;
  config.swin.embedding = 48;
  config.swin.depths = {2, 2, 2, 2};
  config.swin.heads = {2, 4, 8, 16};
  config.swin.window = 4;
  config.neck = 128;
  config.lift_splat.image_height = 128;
  config.lift_splat.image_width = 352;
  config.lift_splat.depth_step = 2;
  config.lift_splat.depths = 30;
  config.lift_splat.channels = 48;
  config.fused = 128;
  config.bev.channels = {64, 128};
  config.bev.layers = 3;
  config.bev.up = 128;
  config.detection.channels = 96;
  config.detection.queries = 100;
  config.detection.feed_forward = 192;
  config.segmentation.channels = 128;
  config.segmentation.feed_forward = 512;
  return config;
}

ModelConfig tiny_model() {
  ModelConfig config;
  config.voxels = {{-25.6, -25.6, -3.0}, {25.6, 25.6, 1.0}, {0.4, 0.4, 0.4}};
  config.voxel_net.channels = {8, 16};
  config.pillars.cell = 0.8;
  config.pillars.channels = 16;
  config.pillars.map_channels = 32;
  config.image_backbone = "conv";
  config.lift_splat.image_height = 64;
  config.lift_splat.image_width = 176;
  config.lift_splat.depth_step = 1.5;
  config.lift_splat.depths = 24;
  config.lift_splat.channels = 16;
  config.lift_splat.range = 25.6;
  config.lift_splat.cell = 0.8;
  config.lift_splat.downsample = false;
  config.fused = 32;
  config.bev.channels = {32, 48};
  config.bev.layers = 1;
  config.bev.up = 32;
  config.detection.channels = 32;
  config.detection.queries = 40;
  config.detection.heads = 4;
  config.detection.feed_forward = 64;
  config.detection.branch = 32;
  config.segmentation.channels = 32;
  config.segmentation.feed_forward = 128;
  config.segmentation.heads = 4;
  config.segmentation.map_range = 25.6;
  config.segmentation.mask = {25.0, 50};
  config.bev_range = 25.6;
  return config;
}

ModelConfig model_of_size(const std::string& size) {
  if (size == "full") {
    return full_model();
  }
  if (size == "small") {
    return small_model();
  }
  if (size == "tiny") {
    return tiny_model();
  }
  throw std::invalid_argument("the model comes in the sizes tiny, small and full, not '" + size + "'");
}

}  // namespace bevfusion
