// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <vector>

#include "bevfusion/loading/image_augmentation.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/grey_image.hpp"
#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// Paints the classes of a picture's pixels over it, half of each colour; pixels beyond the colours stay as they are.
/// @param classes  of the picture's size
/// @throws std::invalid_argument for another size
void paint_classes(Image& image, const GreyImage& classes, const std::vector<Colour>& colours);

/// The six pictures of a key frame as the network gets them without augmentation, with their pixels' classes: above what is
/// known, where anything is, below what is predicted.
/// @param width  of each picture
/// @param names  of the cameras (data.cameras), as six_pictures() takes them
/// @throws DataError for a picture that cannot be read
Image compare_classes(const KeyFrame& frame, const std::array<GreyImage, camera_count>& known,
                      const std::array<GreyImage, camera_count>& predicted, const std::vector<Colour>& colours,
                      const ImageAugmentationOptions& size, int width, const std::vector<std::string>& names = {});

}  // namespace bevfusion
