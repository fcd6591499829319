// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace bevfusion {

/// Classes that CenterPoint's head tells boxes of by the same branches, and among which one object has one box.
struct CenterPointGroup {
  std::vector<std::int64_t> outputs;
  /// Of two boxes whose centres are so near, the surer stays: the squared distance, m^2, as CenterPoint and BEVFusion state it.
  double min_radius = 1;
};

/// The groups of a head's outputs, in the order in which they begin.
///
/// nuScenes' classes are in the six groups of CenterPoint and BEVFusion, with their min_radius: car 4 | truck, construction
/// vehicle 12 | bus, trailer 10 | barrier 1 | motorcycle, bicycle 0.85 | pedestrian, traffic cone 0.175. Of a label that is
/// called otherwise nothing is known: it is a group of its own, with 1 m^2.
/// @param names  of the labels, output by output
std::vector<CenterPointGroup> centerpoint_groups(const std::vector<std::string>& names);

}  // namespace bevfusion
