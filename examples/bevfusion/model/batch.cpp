// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/model/batch.hpp"

#include <stdexcept>

#include <torch/torch.h>

#include "bevfusion/model/labels.hpp"

namespace bevfusion {
namespace {

/// A matrix as a float64 tensor of its shape.
template <class Matrix>
torch::Tensor to_tensor(const Matrix& matrix) {
  torch::Tensor tensor = torch::empty({matrix.rows(), matrix.cols()}, torch::kDouble);
  auto values = tensor.accessor<double, 2>();
  for (Eigen::Index row = 0; row < matrix.rows(); ++row) {
    for (Eigen::Index column = 0; column < matrix.cols(); ++column) {
      values[row][column] = matrix(row, column);
    }
  }
  return tensor;
}

torch::Tensor cloud_of(const std::vector<SweepPoint>& points) {
  torch::Tensor cloud = torch::empty({static_cast<std::int64_t>(points.size()), 5});
  float* at = cloud.data_ptr<float>();
  for (const SweepPoint& point : points) {
    for (const float value : {point.x, point.y, point.z, point.intensity, point.age}) {
      *at++ = value;
    }
  }
  return cloud;
}

/// [3, H, W], normalised.
torch::Tensor picture_of(const Image& image) {
  const torch::Tensor bytes =
      torch::from_blob(const_cast<std::uint8_t*>(image.rgb.data()), {image.height, image.width, 3}, torch::kByte);
  const auto row = [](const std::array<float, 3>& values) {
    return torch::tensor({values[0], values[1], values[2]}).view({3, 1, 1});
  };
  return (bytes.permute({2, 0, 1}).to(torch::kFloat) / 255 - row(image_mean)) / row(image_deviation);
}

void add_cameras(const TrainingSample& sample, std::int64_t height, std::int64_t width, std::vector<torch::Tensor>& pictures,
                 std::vector<torch::Tensor>& intrinsics, std::vector<torch::Tensor>& poses,
                 std::vector<torch::Tensor>& augmentations) {
  for (std::size_t slot = 0; slot < sample.camera_slots; ++slot) {
    const TrainingCamera& camera = sample.cameras.at(slot);
    if (camera.present && (camera.image.height != height || camera.image.width != width)) {
      throw std::invalid_argument("collate: pictures of different sizes; load all samples of a batch with the same options");
    }
    pictures.push_back(camera.present ? picture_of(camera.image) : torch::zeros({3, height, width}));
    intrinsics.push_back(to_tensor(camera.intrinsic));
    poses.push_back(to_tensor(camera.present ? camera.camera_to_lidar : nowhere()));
    augmentations.push_back(to_tensor(camera.image_augmentation));
  }
}

}  // namespace

Eigen::Matrix4d nowhere() {
  Eigen::Matrix4d pose = Eigen::Matrix4d::Zero();
  pose(2, 3) = -1e6;
  pose(3, 3) = 1;
  return pose;
}

Batch collate(const std::vector<TrainingSample>& samples) {
  if (samples.empty()) {
    throw std::invalid_argument("collate: a batch needs a sample");
  }
  const auto count = static_cast<std::int64_t>(samples.size());
  const int cells = samples.front().masks.cells;
  std::int64_t height = 1;
  std::int64_t width = 1;
  for (const TrainingSample& sample : samples) {
    for (const TrainingCamera& camera : sample.cameras) {
      if (camera.present) {
        height = camera.image.height;
        width = camera.image.width;
      }
    }
  }
  Batch batch;
  std::vector<torch::Tensor> pictures;
  std::vector<torch::Tensor> intrinsics;
  std::vector<torch::Tensor> poses;
  std::vector<torch::Tensor> image_augmentations;
  std::vector<torch::Tensor> lidar_augmentations;
  const auto classes = static_cast<std::int64_t>(samples.front().masks.labels.size());
  batch.masks = torch::zeros({count, classes, cells, cells});
  batch.labelled = torch::zeros({count, classes}, torch::kBool);
  for (std::int64_t b = 0; b < count; ++b) {
    const TrainingSample& sample = samples[static_cast<std::size_t>(b)];
    batch.input.clouds.push_back(cloud_of(sample.points));
    batch.boxes.push_back(sample.boxes);
    lidar_augmentations.push_back(to_tensor(sample.lidar_augmentation));
    add_cameras(sample, height, width, pictures, intrinsics, poses, image_augmentations);
    if (sample.camera_slots != samples.front().camera_slots) {
      throw std::invalid_argument(
          "collate: samples of different numbers of cameras; load all samples of a batch with the same options");
    }
    if (sample.masks.cells != cells || sample.masks.labels.size() != samples.front().masks.labels.size()) {
      throw std::invalid_argument(
          "collate: masks of different sizes or labels; load all samples of a batch with the same options");
    }
    if (!sample.masks.values.empty()) {
      batch.masks[b].copy_(
          torch::from_blob(const_cast<std::uint8_t*>(sample.masks.values.data()), {classes, cells, cells}, torch::kByte));
    }
    for (std::int64_t m = 0; m < classes; ++m) {
      batch.labelled[b][m] = sample.masks.labelled[static_cast<std::size_t>(m)];
    }
  }
  const auto cameras = static_cast<std::int64_t>(samples.front().camera_slots);
  batch.input.images = torch::stack(pictures).view({count, cameras, 3, height, width});
  batch.input.geometry.intrinsics = torch::stack(intrinsics).view({count, cameras, 3, 3});
  batch.input.geometry.camera_to_lidar = torch::stack(poses).view({count, cameras, 4, 4});
  batch.input.geometry.image_augmentation = torch::stack(image_augmentations).view({count, cameras, 4, 4});
  batch.input.geometry.lidar_augmentation = torch::stack(lidar_augmentations);
  return batch;
}

LoadingOptions loading_options(const ModelConfig& config, const LabelSets& sets) {
  LoadingOptions options;
  options.lidar = config.parts.lidar;
  options.cameras = config.parts.camera;
  options.image.width = static_cast<int>(config.lift_splat.image_width);
  options.image.height = static_cast<int>(config.lift_splat.image_height);
  // The resizing that fits a picture of 1600 pixels to 704 scales with the network's width.
  const double share = static_cast<double>(config.lift_splat.image_width) / 704;
  options.image.least_resize *= share;
  options.image.most_resize *= share;
  options.image.fixed_resize *= share;
  options.grid.reach = config.segmentation.mask.range;
  options.grid.cells = static_cast<int>(config.segmentation.mask.cells);
  options.box_labels = box_labels(config, sets);
  options.map_labels = map_labels(config, sets);
  return options;
}

}  // namespace bevfusion
