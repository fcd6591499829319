// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/task_drawing.hpp"

#include <array>
#include <cstdio>

#include "support/svg.hpp"

namespace bevfusion {

std::string swatch(Colour colour, const std::string& text) {
  return "<span><i style=\"background:" + css(colour) + "\"></i> " + example::escaped(text) + "</span> ";
}

std::string two_decimals(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", value);
  return text.data();
}

}  // namespace bevfusion
