// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/loading/bev_augmentation.hpp"
#include "bevfusion/loading/image_augmentation.hpp"
#include "bevfusion/loading/object_paste.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"

namespace bevfusion {

struct LoadingOptions {
  int sweeps = 10;  ///< LiDAR sweeps, the key frame's included
  bool lidar = true;
  bool cameras = true;
  std::size_t camera_slots = camera_count;  ///< cameras of a sample, the first ones
  bool augment = true;                      ///< off for validation: images are only brought to size
  /// With `augment`, points come in random order, as in BEVFusion's training: voxels and points beyond a limit are those that
  /// come last, which would always be the oldest sweeps'.
  bool shuffle_points = true;
  double camera_dropout = 0;  ///< with `augment`: chance that a sample is without a camera, for each by itself
  std::uint64_t seed = 0;
  PointOptions points;
  ImageAugmentationOptions image;
  BevAugmentationOptions bev;
  MapGrid grid;
  DetectionLabels box_labels = standard_boxes();
  MapLabels map_labels = standard_map();  ///< of the masks, in their order: the model's map_labels()
  MaskOptions masks;
  PasteOptions paste;  ///< of training samples, by whoever loads them
};

/// A camera of a training sample.
struct TrainingCamera {
  Image image;  ///< of the network's size
  bool present = false;
  Eigen::Matrix3d intrinsic = Eigen::Matrix3d::Identity();        ///< of the picture as taken
  Eigen::Matrix4d camera_to_lidar = Eigen::Matrix4d::Identity();  ///< through both ego poses; LiDAR frame before its augmentation
  Eigen::Matrix4d image_augmentation = Eigen::Matrix4d::Identity();  ///< (u, v, d, 1) as taken -> as in `image`
};

/// One sample as a trainer takes it. Points, boxes and masks lie in the augmented LiDAR frame.
struct TrainingSample {
  Token token;
  std::vector<SweepPoint> points;
  std::array<TrainingCamera, camera_count> cameras;
  std::size_t camera_slots = camera_count;                           ///< of them, the first ones
  Eigen::Matrix4d lidar_augmentation = Eigen::Matrix4d::Identity();  ///< LiDAR frame -> augmented
  std::vector<Box3D> boxes;
  MapMasks masks;  ///< unlabelled where the data set has no map
};

/// Loads samples of a data set. Each place's map is read once. Calls from several threads are safe, and the sample depends on its
/// row, the epoch and the options' seed alone.
class SampleLoader {
 public:
  SampleLoader(const Tables& tables, LoadingOptions options) : tables_(tables), options_(std::move(options)) {}

  /// What may change a sample's points and boxes, in the frame of LIDAR_TOP, before they are augmented.
  using Change = std::function<void(std::vector<SweepPoint>& points, std::vector<Box3D>& boxes)>;

  TrainingSample load(RowIndex sample, std::uint64_t epoch, const Change& change = {}) const;

 private:
  struct Place {
    std::once_flag read;
    std::optional<MapExpansion> expansion;
    std::optional<BaseMap> base;
  };

  const Place& place_of(const KeyFrame& frame) const;

  const Tables& tables_;
  LoadingOptions options_;
  mutable std::mutex guard_;
  mutable std::map<std::string, std::unique_ptr<Place>> places_;
};

}  // namespace bevfusion
