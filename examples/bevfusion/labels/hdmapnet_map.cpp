// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/labels/label_sets.hpp"

namespace bevfusion {

/// HDMapNet's three classes, all of lines, in the order in which wPCGrad's paper names them (Bohn et al., Sec. 2.3): where the
/// union of roads and lanes ends, dividers, and the two long sides of crossings.
void register_hdmapnet_map(LabelSets& sets) {
  MapLabel boundary{"boundary", {"road_segment", "lane"}, {227, 26, 28}};
  boundary.shapes = MapShapes::outline;
  MapLabel lane_line{"lane_line", {"road_divider", "lane_divider"}, {106, 61, 154}};
  lane_line.shapes = MapShapes::lines;
  MapLabel crosswalk{"crosswalk", {"ped_crossing"}, {251, 154, 153}};
  crosswalk.shapes = MapShapes::long_sides;
  sets.map.add("hdmapnet_map", {boundary, lane_line, crosswalk});
}

}  // namespace bevfusion
