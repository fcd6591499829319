// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/pictures/class_picture.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "bevfusion/pictures/camera_picture.hpp"

namespace bevfusion {

void paint_classes(Image& image, const GreyImage& classes, const std::vector<Colour>& colours) {
  if (classes.width != image.width || classes.height != image.height) {
    throw std::invalid_argument("classes of another picture's pixels: of another size");
  }
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const std::uint8_t which = classes.at(x, y);
      for (std::size_t c = 0; which < colours.size() && c < 3; ++c) {
        image.pixel(x, y)[c] = static_cast<std::uint8_t>((image.pixel(x, y)[c] + colours[which][c] + 1) / 2);
      }
    }
  }
}

Image compare_classes(const KeyFrame& frame, const std::array<GreyImage, camera_count>& known,
                      const std::array<GreyImage, camera_count>& predicted, const std::vector<Colour>& colours,
                      const ImageAugmentationOptions& size, int width, const std::vector<std::string>& names) {
  std::array<Image, camera_count> fed;
  for (std::size_t c = 0; c < camera_count; ++c) {
    if (frame.cameras[c].present && predicted[c].width > 0) {
      const Image taken = read_picture(frame.cameras[c]);
      fed[c] = resample(taken, fixed_image_augmentation(size, taken.width, taken.height));
    }
  }
  const auto sheet = [&](const std::array<GreyImage, camera_count>& classes) {
    std::array<Image, camera_count> painted = fed;
    for (std::size_t c = 0; c < camera_count; ++c) {
      if (painted[c].width > 0) paint_classes(painted[c], classes[c], colours);
    }
    name_pictures(painted, width, names);
    return six_pictures(painted, width, names);
  };
  Image below = sheet(predicted);
  const auto labelled = [](const GreyImage& one) { return one.width > 0; };
  if (std::none_of(known.begin(), known.end(), labelled)) {
    return below;
  }
  Image both = sheet(known);
  both.height += below.height;
  both.rgb.insert(both.rgb.end(), below.rgb.begin(), below.rgb.end());
  return both;
}

}  // namespace bevfusion
