// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bevfusion {

/// A byte a pixel, row by row from the top.
struct GreyImage {
  int width = 0;
  int height = 0;
  std::vector<std::uint8_t> values;

  GreyImage() = default;
  GreyImage(int w, int h, std::uint8_t fill = 0)
      : width(w), height(h), values(static_cast<std::size_t>(w) * static_cast<std::size_t>(h), fill) {}

  std::uint8_t& at(int x, int y) { return values[offset(x, y)]; }
  std::uint8_t at(int x, int y) const { return values[offset(x, y)]; }

 private:
  std::size_t offset(int x, int y) const {
    return static_cast<std::size_t>(y) * static_cast<std::size_t>(width) + static_cast<std::size_t>(x);
  }
};

}  // namespace bevfusion
