// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <cstdint>

#include "bevfusion/pictures/grey_image.hpp"
#include "bevfusion/pictures/image.hpp"
#include "bevfusion/synth/random.hpp"

namespace bevfusion {

/// How pictures are brought to the network's size. The paper's notation, scale [0.94, 1.11], rotation 5.4 degrees and flip, is
/// BEVDet's: added to 704 / 1600 = 0.44 it makes the resizing 0.38 ... 0.55, BEVFusion's own range.
struct ImageAugmentationOptions {
  int width = 704;  ///< of the network's pictures
  int height = 256;
  double least_resize = 0.38;  ///< of a picture 1600 pixels wide; others are resized to the same
  double most_resize = 0.55;
  double fixed_resize = 0.48;  ///< without augmentation
  double rotation = 5.4;       ///< degrees, to either side
  bool flip = true;            ///< left and right swapped, every other time
};

/// One draw: picture -> resized -> cropped -> flipped -> turned about the middle.
struct ImageAugmentation {
  double resize = 0.48;
  double crop_left = 0;  ///< pixels of the resized picture
  double crop_top = 0;
  bool flip = false;
  double rotation = 0;  ///< radians, clockwise in the picture
  int width = 704;
  int height = 256;

  /// (u, v, 1) as taken -> as fed to the network.
  Eigen::Matrix3d matrix() const;
  /// The same for (u, v, d, 1).
  Eigen::Matrix4d matrix4() const;
};

/// A draw for training: crops keep the picture's lower part, at any place from left to right.
ImageAugmentation draw_image_augmentation(const ImageAugmentationOptions& options, int picture_width, int picture_height,
                                          Random& random);
/// The one of testing: fixed_resize, the lower middle, no flip, no turn.
ImageAugmentation fixed_image_augmentation(const ImageAugmentationOptions& options, int picture_width, int picture_height);

/// The picture as the network gets it: each pixel is the mean of the places it covers in the original, bilinear between its
/// pixels; black outside of it.
Image resample(const Image& image, const ImageAugmentation& augmentation);
/// Classes of pixels likewise: each pixel is the one that its centre lies in in the original, `outside` beyond it.
/// @param augmented  ImageAugmentation::matrix()
GreyImage resample_classes(const GreyImage& classes, const Eigen::Matrix3d& augmented, int width, int height,
                           std::uint8_t outside);

}  // namespace bevfusion
