// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>

#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// A line of some width, in pixels; what is outside the picture is cut off.
void draw_line(Image& image, Eigen::Vector2d from, Eigen::Vector2d to, Colour colour, double width = 1);

}  // namespace bevfusion
