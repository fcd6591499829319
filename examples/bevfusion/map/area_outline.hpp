// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/map/map_expansion.hpp"

namespace bevfusion {

/// Areas that are no farther apart than this touch, and what is no wider is nothing, m.
inline constexpr double touching_areas = 1e-3;

/// Where the union of areas ends: the parts of their edges that have the union on one side alone, in chains of 32 edges at most.
///
/// No polygon is made: each edge is cut where others meet it, and each piece judged by the two points beside its middle,
/// touching_areas away. So an edge that two areas share, or that lies inside another area, is no part of it, and the border of a
/// hole is, unless another area covers it. An edge that several areas have in common comes once for each of them.
/// @param areas  each of rings, the outer one first, then holes inside it, of any direction (MapShape::valid)
std::vector<Chain> outline_of_union(const std::vector<std::vector<Chain>>& areas);

/// The two longest edges of a closed ring, the longest first; of equal ones those that come first.
std::vector<Chain> two_longest_edges(const Chain& ring);

}  // namespace bevfusion
