// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/loading/image_augmentation.hpp"

#include <Eigen/LU>
#include <algorithm>
#include <cmath>

namespace bevfusion {

Eigen::Matrix3d ImageAugmentation::matrix() const {
  Eigen::Matrix3d cropped;
  cropped << resize, 0, -crop_left, 0, resize, -crop_top, 0, 0, 1;
  Eigen::Matrix3d flipped = Eigen::Matrix3d::Identity();
  if (flip) flipped << -1, 0, width, 0, 1, 0, 0, 0, 1;
  const Eigen::Vector2d middle(0.5 * width, 0.5 * height);
  Eigen::Matrix3d turned = Eigen::Matrix3d::Identity();
  turned.topLeftCorner<2, 2>() << std::cos(rotation), -std::sin(rotation), std::sin(rotation), std::cos(rotation);
  turned.topRightCorner<2, 1>() = middle - turned.topLeftCorner<2, 2>() * middle;
  return turned * flipped * cropped;
}

Eigen::Matrix4d ImageAugmentation::matrix4() const {
  const Eigen::Matrix3d m = matrix();
  Eigen::Matrix4d wide = Eigen::Matrix4d::Identity();
  wide.topLeftCorner<2, 2>() = m.topLeftCorner<2, 2>();
  wide.topRightCorner<2, 1>() = m.topRightCorner<2, 1>();
  return wide;
}

ImageAugmentation draw_image_augmentation(const ImageAugmentationOptions& options, int picture_width, int picture_height,
                                          Random& random) {
  ImageAugmentation a;
  a.width = options.width;
  a.height = options.height;
  a.resize = random.uniform(options.least_resize, options.most_resize) * 1600.0 / picture_width;
  a.crop_left = random.unit() * std::max(0.0, a.resize * picture_width - options.width);
  a.crop_top = a.resize * picture_height - options.height;
  a.flip = options.flip && random.chance(0.5);
  a.rotation = random.uniform(-1, 1) * options.rotation * pi / 180;
  return a;
}

ImageAugmentation fixed_image_augmentation(const ImageAugmentationOptions& options, int picture_width, int picture_height) {
  ImageAugmentation a;
  a.width = options.width;
  a.height = options.height;
  a.resize = options.fixed_resize * 1600.0 / picture_width;
  a.crop_left = 0.5 * std::max(0.0, a.resize * picture_width - options.width);
  a.crop_top = a.resize * picture_height - options.height;
  return a;
}

namespace {

// Adds the picture at a place, in 256ths of a pixel (whole numbers: pixels' centres), to `sum`, 65536 times as bright.
void add_bilinear(const Image& image, int x, int y, std::uint32_t* sum) {
  x = std::clamp(x, 0, (image.width - 1) * 256);
  y = std::clamp(y, 0, (image.height - 1) * 256);
  const auto a = static_cast<std::uint32_t>(x & 255);
  const auto b = static_cast<std::uint32_t>(y & 255);
  const std::uint8_t* above = image.pixel(x >> 8, y >> 8);
  const std::uint8_t* below = b > 0 ? image.pixel(x >> 8, (y >> 8) + 1) : above;
  const std::size_t right = a > 0 ? 3 : 0;
  for (std::size_t c = 0; c < 3; ++c) {
    const std::uint32_t upper = above[c] * (256 - a) + above[c + right] * a;
    const std::uint32_t lower = below[c] * (256 - a) + below[c + right] * a;
    sum[c] += upper * (256 - b) + lower * b;
  }
}

}  // namespace

Image resample(const Image& image, const ImageAugmentation& augmentation) {
  const Eigen::Matrix3d back = augmentation.matrix().inverse();
  // Original pixels that a new one spans decide how many places are looked at.
  const int fine = std::clamp(static_cast<int>(std::lround(1.0 / augmentation.resize)), 1, 8);
  const auto whole = static_cast<std::uint32_t>(fine * fine) * 65536U;
  const double step_x = back(0, 0) / fine;
  const double step_y = back(1, 0) / fine;
  Image result(augmentation.width, augmentation.height);
  for (int v = 0; v < result.height; ++v) {
    for (int u = 0; u < result.width; ++u) {
      std::uint32_t sum[3] = {0, 0, 0};
      for (int j = 0; j < fine; ++j) {
        const double x = u + 0.5 / fine;
        const double y = v + (j + 0.5) / fine;
        double at_x = back(0, 0) * x + back(0, 1) * y + back(0, 2);
        double at_y = back(1, 0) * x + back(1, 1) * y + back(1, 2);
        for (int i = 0; i < fine; ++i, at_x += step_x, at_y += step_y) {
          if (!(at_x > 0 && at_y > 0 && at_x < image.width && at_y < image.height)) continue;
          // Pixel (0, 0) has its centre at (0.5, 0.5).
          add_bilinear(image, static_cast<int>(at_x * 256) - 128, static_cast<int>(at_y * 256) - 128, sum);
        }
      }
      for (std::size_t c = 0; c < 3; ++c) result.pixel(u, v)[c] = static_cast<std::uint8_t>((sum[c] + whole / 2) / whole);
    }
  }
  return result;
}

GreyImage resample_classes(const GreyImage& classes, const Eigen::Matrix3d& augmented, int width, int height,
                           std::uint8_t outside) {
  const Eigen::Matrix3d back = augmented.inverse();
  GreyImage result(width, height, outside);
  for (int v = 0; v < height; ++v) {
    for (int u = 0; u < width; ++u) {
      const Eigen::Vector3d at = back * Eigen::Vector3d(u + 0.5, v + 0.5, 1);
      if (at.x() >= 0 && at.y() >= 0 && at.x() < classes.width && at.y() < classes.height) {
        result.at(u, v) = classes.at(static_cast<int>(at.x()), static_cast<int>(at.y()));
      }
    }
  }
  return result;
}

}  // namespace bevfusion
