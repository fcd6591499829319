// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace bevfusion {

/// A pixel, or a corner of a shape that is drawn; it may lie outside of the picture.
struct Pixel {
  std::int64_t x = 0;
  std::int64_t y = 0;
};

/// A picture of a byte a pixel that belongs to someone else: (x, y) is at values[x * height + y].
struct PixelPlane {
  std::uint8_t* values;
  int width;
  int height;

  void set(std::int64_t x, std::int64_t y, std::uint8_t value) const { values[x * height + y] = value; }
  bool has(std::int64_t x, std::int64_t y) const { return x >= 0 && y >= 0 && x < width && y < height; }
};

// What OpenCV 4.11 draws, to the pixel: nuScenes' devkit makes its masks with it. A pixel's centre is at whole numbers. Corners
// are at most 2^30 away from 0.

/// cv::fillPoly with lines of type 8: the insides of all rings together by the even-odd rule, and the rings themselves.
void fill_polygons(const std::vector<std::vector<Pixel>>& rings, std::uint8_t value, const PixelPlane& plane);

/// cv::polylines of an open chain with lines of type 8. A line of thickness 2 is 3 pixels wide.
/// @param thickness  1 ... 1000
void draw_polyline(const std::vector<Pixel>& chain, int thickness, std::uint8_t value, const PixelPlane& plane);

}  // namespace bevfusion
