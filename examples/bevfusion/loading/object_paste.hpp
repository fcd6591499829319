// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"

namespace bevfusion {

/// Pasting of objects into point clouds ("GT-paste", SECOND's and CBGS's augmentation).
struct PasteOptions {
  bool on = false;
  /// How many objects of a label a cloud is filled up to, as `label=number` parted by commas; none of labels that are not here.
  std::string objects =
      "car=2, truck=3, construction_vehicle=7, bus=4, trailer=6, barrier=2, motorcycle=6, bicycle=6, pedestrian=2, "
      "traffic_cone=2";
  int least_points = 5;  ///< an object needs, as annotated
  int pool = 1000;       ///< samples that objects are taken from, drawn once by the seed; their objects' points stay in memory
  std::int64_t without = 5;  ///< last epochs, in which nothing is pasted (TransFusion's fading)
};

/// The objects' numbers by position in the labels.
/// @throws std::invalid_argument for a text that cannot be read, or a label that is not there
std::vector<int> objects_by_label(const PasteOptions& options, const DetectionLabels& labels);

/// Objects of training samples with the points in them, and their pasting into other samples' clouds.
///
/// An object stands where it stood in its own sample, relative to the LiDAR. One that would overlap, seen from above, with a box
/// that is there, or was pasted before it, is left out. The points of the cloud within a pasted box make place for the object's.
/// Calls from several threads are safe; what is pasted depends on the key alone.
class ObjectPaster {
 public:
  /// @param tables   must outlive this
  /// @param samples  rows of the training samples
  /// @throws std::invalid_argument as objects_by_label
  ObjectPaster(const Tables& tables, const std::vector<RowIndex>& samples, const KeyFrameOptions& frames, PointOptions points,
               PasteOptions options, std::uint64_t seed);

  /// Pastes into a sample's points and boxes, both in the frame of LIDAR_TOP and not augmented.
  /// @param key  decides what is drawn
  /// @throws DataError where a file of an object's sample cannot be read
  void paste(std::vector<SweepPoint>& points, std::vector<Box3D>& boxes, std::initializer_list<std::uint64_t> key) const;

  /// Objects that may be pasted of a label.
  std::size_t objects_of(std::size_t label) const { return objects_.at(label).size(); }

 private:
  struct Place {
    std::size_t source;  ///< in sources_
    std::size_t box;     ///< in its frame's boxes
  };
  /// A sample of the pool, read when the first of its objects is pasted.
  struct Source {
    std::once_flag read;
    std::vector<std::vector<SweepPoint>> points;  ///< of each box
  };

  const std::vector<SweepPoint>& points_of(const Place& place) const;

  PointOptions points_;
  std::vector<int> wanted_;
  std::vector<KeyFrame> frames_;  ///< of the pool
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<std::vector<Place>> objects_;  ///< by label
};

}  // namespace bevfusion
