// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/labels/label_sets.hpp"

namespace bevfusion {

/// The six classes of BEVFusion's map segmentation, in its order.
void register_bevfusion_map(LabelSets& sets) {
  MapLabel drivable{"drivable_area", {"drivable_area"}, {166, 206, 227}};
  drivable.base_map = true;
  MapLabel divider{"divider", {"road_divider", "lane_divider"}, {106, 61, 154}};
  divider.shapes = MapShapes::lines;
  sets.map.add(standard_map_labels, {drivable,
                                     {"ped_crossing", {"ped_crossing"}, {251, 154, 153}},
                                     {"walkway", {"walkway"}, {178, 223, 138}},
                                     {"stop_line", {"stop_line"}, {227, 26, 28}},
                                     {"carpark_area", {"carpark_area"}, {255, 180, 90}},
                                     divider});
}

}  // namespace bevfusion
