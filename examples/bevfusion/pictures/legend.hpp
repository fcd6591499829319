// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// What a colour of a picture stands for.
struct LegendEntry {
  Colour colour{};
  std::string text;
};

/// The picture with a legend in rows below it, as wide as it is.
Image with_legend(const Image& image, const std::vector<LegendEntry>& entries, int scale = 2);

}  // namespace bevfusion
