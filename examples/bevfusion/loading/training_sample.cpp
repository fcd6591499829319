// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/loading/training_sample.hpp"

#include <filesystem>
#include <utility>

#include "bevfusion/nuscenes/image_file.hpp"

namespace bevfusion {

const SampleLoader::Place& SampleLoader::place_of(const KeyFrame& frame) const {
  Place* place = nullptr;
  {
    const std::lock_guard<std::mutex> lock(guard_);
    std::unique_ptr<Place>& slot = places_[frame.location];
    if (!slot) slot = std::make_unique<Place>();
    place = slot.get();
  }
  // Other places can be read meanwhile. A failed reading throws, and is tried again by whoever comes next.
  std::call_once(place->read, [&] {
    const std::filesystem::path file = tables_.root / "maps" / "expansion" / (frame.location + ".json");
    if (std::filesystem::exists(file)) {
      place->expansion = read_map_expansion(file, options_.map_labels);
    } else if (!frame.base_map.empty() && std::filesystem::exists(frame.base_map)) {
      place->base = BaseMap::read(frame.base_map);
    }
  });
  return *place;
}

namespace {

void shuffle(std::vector<SweepPoint>& points, Random& random) {
  for (std::size_t left = points.size(); left > 1; --left) {
    std::swap(points[left - 1], points[static_cast<std::size_t>(random.unit() * static_cast<double>(left))]);
  }
}

}  // namespace

TrainingSample SampleLoader::load(RowIndex row, std::uint64_t epoch, const Change& change) const {
  const KeyFrame frame = key_frame_of(tables_, row, {options_.sweeps, options_.box_labels});
  const std::array<std::uint64_t, 2> name = frame.sample.bits();
  Random random({options_.seed, epoch, name[0], name[1]});
  TrainingSample sample;
  sample.token = frame.sample;
  sample.camera_slots = options_.camera_slots;
  const BevAugmentation bev = options_.augment ? draw_bev_augmentation(options_.bev, random) : BevAugmentation();
  sample.lidar_augmentation = bev.matrix4();

  for (std::size_t c = 0; c < camera_count; ++c) {
    // Drawn for absent cameras as well, so that one camera more or less changes nothing for the others.
    const std::uint64_t own = random.bits();
    const CameraFrame& from = frame.cameras[c];
    if (!options_.cameras || !from.present || c >= options_.camera_slots) continue;
    if (options_.augment && options_.camera_dropout > 0 && Random({own, 1}).chance(options_.camera_dropout)) continue;
    TrainingCamera& camera = sample.cameras[c];
    const Image taken = read_picture(from);
    Random of_camera({own});
    const ImageAugmentation augmentation = options_.augment
                                               ? draw_image_augmentation(options_.image, taken.width, taken.height, of_camera)
                                               : fixed_image_augmentation(options_.image, taken.width, taken.height);
    camera.present = true;
    camera.image = resample(taken, augmentation);
    camera.intrinsic = from.view.intrinsic;
    camera.camera_to_lidar = from.view.camera_from_lidar.inverse().matrix();
    camera.image_augmentation = augmentation.matrix4();
  }

  if (options_.lidar) {
    sample.points = read_points(frame, options_.points);
  }
  sample.boxes = frame.boxes;
  if (change) change(sample.points, sample.boxes);
  bev.apply(sample.points);
  bev.apply(sample.boxes);
  if (options_.augment && options_.shuffle_points) {
    // A stream of its own: the draws above and the cameras' stay what they are.
    Random order({options_.seed, epoch, name[0], name[1], 1});
    shuffle(sample.points, order);
  }

  const Eigen::Matrix3d plane = bev_from_global(frame.global_from_lidar(), bev.plane());
  const Place& place = place_of(frame);
  if (place.expansion) {
    sample.masks = draw_masks(*place.expansion, plane, options_.grid, options_.masks);
  } else if (place.base) {
    sample.masks = draw_masks(*place.base, options_.map_labels, plane, options_.grid, options_.masks);
  } else {
    sample.masks = MapMasks(options_.map_labels, options_.grid.cells);  // no layer: all classes unlabelled
  }
  return sample;
}

}  // namespace bevfusion
