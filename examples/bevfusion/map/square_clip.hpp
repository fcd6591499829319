// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/map/map_expansion.hpp"

namespace bevfusion {

/// What is left of an area inside a square: outlines of its pieces, clockwise for x right and y up, and holes, counter-clockwise.
struct ClippedArea {
  std::vector<Chain> outlines;
  std::vector<Chain> holes;
};

/// The part of an area in [0, size] x [0, size], with corners where its edges meet the square's. A hole that reaches the square's
/// edge becomes part of an outline.
/// @param rings  the outer one first, then holes, each of any direction
ClippedArea clip_area(const std::vector<Chain>& rings, double size);

/// The line with a corner at each place where it crosses or touches itself, as the devkit's shapes have them when they are cut.
Chain with_own_crossings(const Chain& line);

/// The pieces of a line in [0, size] x [0, size].
std::vector<Chain> clip_line(const Chain& line, double size);

}  // namespace bevfusion
