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

Image resample(const Image& image, const ImageAugmentation& augmentation) {
  const Eigen::Matrix3d back = augmentation.matrix().inverse();
  const double step = 1.0 / augmentation.resize;  // original pixels a new one spans
  const int fine = std::clamp(static_cast<int>(std::lround(step)), 1, 8);
  const float share = 1.0F / static_cast<float>(fine * fine);
  Image result(augmentation.width, augmentation.height);
  for (int v = 0; v < result.height; ++v) {
    for (int u = 0; u < result.width; ++u) {
      std::array<float, 3> sum{};
      for (int j = 0; j < fine; ++j) {
        for (int i = 0; i < fine; ++i) {
          const double x = u + (i + 0.5) / fine;
          const double y = v + (j + 0.5) / fine;
          // Pixel (0, 0) has its centre at (0.5, 0.5).
          const double at_x = back(0, 0) * x + back(0, 1) * y + back(0, 2) - 0.5;
          const double at_y = back(1, 0) * x + back(1, 1) * y + back(1, 2) - 0.5;
          if (!(at_x > -0.5 && at_y > -0.5 && at_x < image.width - 0.5 && at_y < image.height - 0.5)) continue;
          const int left = std::clamp(static_cast<int>(std::floor(at_x)), 0, image.width - 1);
          const int top = std::clamp(static_cast<int>(std::floor(at_y)), 0, image.height - 1);
          const int right = std::min(left + 1, image.width - 1);
          const int bottom = std::min(top + 1, image.height - 1);
          const auto a = static_cast<float>(std::clamp(at_x - left, 0.0, 1.0));
          const auto b = static_cast<float>(std::clamp(at_y - top, 0.0, 1.0));
          const std::uint8_t* p00 = image.pixel(left, top);
          const std::uint8_t* p10 = image.pixel(right, top);
          const std::uint8_t* p01 = image.pixel(left, bottom);
          const std::uint8_t* p11 = image.pixel(right, bottom);
          for (std::size_t c = 0; c < 3; ++c) {
            const float above = static_cast<float>(p00[c]) * (1 - a) + static_cast<float>(p10[c]) * a;
            const float below = static_cast<float>(p01[c]) * (1 - a) + static_cast<float>(p11[c]) * a;
            sum[c] += share * (above * (1 - b) + below * b);
          }
        }
      }
      for (std::size_t c = 0; c < 3; ++c) result.pixel(u, v)[c] = static_cast<std::uint8_t>(std::lround(sum[c]));
    }
  }
  return result;
}

}  // namespace bevfusion
