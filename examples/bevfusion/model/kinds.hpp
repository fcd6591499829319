// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bevfusion/camera/image_backbone.hpp"
#include "bevfusion/fusion/bev_backbone.hpp"
#include "bevfusion/fusion/fuser.hpp"
#include "bevfusion/heads/detection_head.hpp"
#include "bevfusion/heads/query_decoder.hpp"
#include "bevfusion/heads/segmentation_head.hpp"
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/lidar/lidar_backbone.hpp"
#include "bevfusion/model/registry.hpp"
#include "bevfusion/tasks/task.hpp"

namespace bevfusion {

/// Every kind of every part that a model can be made of.
///
/// A kind is one file, `<name>.cpp`, with its class, which has the part's interface, and `void register_<name>(Kinds&)`, and a
/// line in the list of kinds in CMakeLists.txt. Numbers of its own it takes from ModelConfig::numbers. What heads may tell apart
/// comes with it.
struct Kinds {
  Registry<LidarBackbone> lidar_backbones{"lidar_backbone"};
  Registry<ImageBackbone> image_backbones{"image_backbone"};
  /// What the sides of an image backbone's pictures have to be multiples of, by its name; 8 of one that is not here, whose map is
  /// at stride 8.
  std::map<std::string, std::int64_t> picture_multiples;
  Registry<Fuser, std::vector<std::int64_t>> fusers{"fuser"};         ///< channels of the branches
  Registry<BevBackbone, std::int64_t> bev_backbones{"bev_backbone"};  ///< channels in front of it
  /// Channels in front of it, and what its outputs are.
  Registry<DetectionHead, std::int64_t, DetectionOutputs> detection_heads{"detection_head"};
  /// Channels in front of it, and masks.
  Registry<SegmentationHead, std::int64_t, std::int64_t> segmentation_heads{"segmentation_head"};
  /// Decoders that heads of their name read in the map's place: channels in front of it, and what is asked of it.
  Registry<QueryDecoder, std::int64_t, QueriesAsked> decoders{"detection_head"};
  Tasks tasks;
  LabelSets labels = label_sets();
};

/// The kinds of CMakeLists.txt's lists.
const Kinds& kinds();

}  // namespace bevfusion
