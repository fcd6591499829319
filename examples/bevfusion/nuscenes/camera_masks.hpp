// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>

#include "bevfusion/labels/pixel_class.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/grey_image.hpp"

namespace bevfusion {

/// Classes of the pixels of a data set's pictures, which no release of nuScenes has (nuImages labels other pictures,
/// nuScenes-lidarseg points): a format of this project's own, beside the tables.
///
///     camera_masks/classes.json                  ["sky", "terrain", ...]
///     camera_masks/CAM_FRONT/<picture's name>.png
///
/// A mask is as large as its picture, one byte of grey a pixel: a position in the list of classes, or 255 where the pixel is not
/// labelled. Pixels of a class that PixelClass has not are not labelled either.
class CameraMasks {
 public:
  /// Whether the data set has any.
  static bool are_in(const std::filesystem::path& root);
  /// @throws DataError where the data set has none, saying what has
  static void expect_in(const std::filesystem::path& root);

  /// Reads the list of classes.
  /// @throws DataError where it is missing or is no list of at most 255 different names
  explicit CameraMasks(std::filesystem::path root);

  /// The mask of a camera's picture, of PixelClass and no_pixel_class.
  /// @throws DataError where it is missing, damaged, of another size than the tables have for the picture, or has a value that
  ///   the list does not reach
  GreyImage read(const CameraFrame& camera) const;

 private:
  std::filesystem::path root_;
  std::size_t listed_ = 0;
  std::array<std::uint8_t, 256> class_of_{};  ///< a value in the file to a PixelClass
};

/// Where the mask of a picture is.
/// @param picture  its file, in a folder that is called as the camera's channel
std::filesystem::path mask_file_of(const std::filesystem::path& root, const std::filesystem::path& picture);

/// Writes the list of PixelClass's names.
void write_pixel_classes(const std::filesystem::path& root);

}  // namespace bevfusion
