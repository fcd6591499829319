// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "bevfusion/pictures/image.hpp"

namespace bevfusion {

/// Pixels of a text's width and height at a scale, with the paper around it.
int text_width(const std::string& text, int scale);
int text_height(int scale);

/// A line of text on paper of a colour, in letters of 5 x 9 dots, two of them below the line: letters, digits and the punctuation
/// of names and numbers; a frame stands for anything else. What is outside the picture is cut off.
/// @param x, y   the paper's left top corner
/// @param scale  pixels of a dot's side, >= 1
void draw_text(Image& image, int x, int y, const std::string& text, Colour ink, Colour paper, int scale);

/// Black or white, whichever is read better on the colour.
Colour ink_on(Colour paper);

}  // namespace bevfusion
