// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace bevfusion {

using Colour = std::array<std::uint8_t, 3>;

/// An 8-bit RGB picture, row by row from the top, three bytes a pixel.
struct Image {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> rgb;

  Image() = default;
  Image(int w, int h, Colour fill = {0, 0, 0})
      : width(w), height(h), rgb(static_cast<std::size_t>(w) * static_cast<std::size_t>(h) * 3) {
    for (std::size_t i = 0; i < rgb.size(); ++i) rgb[i] = fill[i % 3];
  }

  bool inside(int x, int y) const { return x >= 0 && y >= 0 && x < width && y < height; }
  std::uint8_t* pixel(int x, int y) { return rgb.data() + offset(x, y); }
  const std::uint8_t* pixel(int x, int y) const { return rgb.data() + offset(x, y); }

  /// Does nothing outside the picture.
  void set(int x, int y, Colour colour) {
    if (!inside(x, y)) return;
    for (std::size_t c = 0; c < 3; ++c) pixel(x, y)[c] = colour[c];
  }

 private:
  std::size_t offset(int x, int y) const {
    return 3 * (static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x));
  }
};

}  // namespace bevfusion
