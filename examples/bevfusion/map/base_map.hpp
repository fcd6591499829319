// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace bevfusion {

/// One bit a pixel; row 0 is the picture's top. A base map of nuScenes takes 40 MB so, against 320 MB of bytes.
struct BitImage {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> bits;  ///< rows padded to whole bytes, highest bit first

  BitImage() = default;
  BitImage(int w, int h) : width(w), height(h), bits(stride() * static_cast<std::size_t>(h)) {}

  std::size_t stride() const { return (static_cast<std::size_t>(width) + 7) / 8; }
  std::uint8_t* row(int y) { return bits.data() + stride() * static_cast<std::size_t>(y); }
  const std::uint8_t* row(int y) const { return bits.data() + stride() * static_cast<std::size_t>(y); }
  bool get(int x, int y) const { return (row(y)[x / 8] >> (7 - x % 8) & 1) != 0; }
  void set(int x, int y) { row(y)[x / 8] = static_cast<std::uint8_t>(row(y)[x / 8] | 128 >> x % 8); }
};

/// Decodes a PNG of any kind to bits: set where its grey value is above 127. Throws DataError, naming `file`, for bytes that are
/// cut short, damaged or of more than 600 million pixels (nuScenes' largest map has 3.3e8 ... 4.8e8 at 0.1 m).
BitImage decode_png_bits(const std::vector<std::uint8_t>& bytes, const std::string& file);

/// Writes an 8-bit grey PNG of 0 and 255, as nuScenes' base maps are.
void write_png_bits(const std::filesystem::path& file, const BitImage& image);

/// The drivable area of a whole place, as nuScenes has it for every log: 0.1 m a pixel, row 0 at the largest y.
class BaseMap {
 public:
  explicit BaseMap(BitImage image, double resolution = 0.1) : image_(std::move(image)), resolution_(resolution) {}

  static BaseMap read(const std::filesystem::path& file);

  /// Whether a point of the map (global frame, m) is drivable; false outside.
  bool drivable(const Eigen::Vector2d& global) const {
    const double column = global.x() / resolution_;
    const double row = image_.height - global.y() / resolution_;
    if (!(column >= 0 && row >= 0 && column < image_.width && row < image_.height)) return false;
    return image_.get(static_cast<int>(column), static_cast<int>(row));
  }

  double width() const { return image_.width * resolution_; }
  double height() const { return image_.height * resolution_; }

 private:
  BitImage image_;
  double resolution_;
};

}  // namespace bevfusion
