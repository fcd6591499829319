// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/centerpoint_groups.hpp"

#include <algorithm>
#include <cstddef>
#include <map>

namespace bevfusion {
namespace {

struct Published {
  std::vector<std::string> names;
  double min_radius;
};

/// CenterPoint's groups of nuScenes' classes.
const std::vector<Published>& published() {
  static const std::vector<Published> groups = {
      {{"car"}, 4},     {{"truck", "construction_vehicle"}, 12}, {{"bus", "trailer"}, 10},
      {{"barrier"}, 1}, {{"motorcycle", "bicycle"}, 0.85},       {{"pedestrian", "traffic_cone"}, 0.175}};
  return groups;
}

}  // namespace

std::vector<CenterPointGroup> centerpoint_groups(const std::vector<std::string>& names) {
  std::vector<CenterPointGroup> groups;
  std::map<const Published*, std::size_t> begun;
  for (std::size_t output = 0; output < names.size(); ++output) {
    const auto known = std::find_if(published().begin(), published().end(), [&](const Published& group) {
      return std::find(group.names.begin(), group.names.end(), names[output]) != group.names.end();
    });
    const bool is_known = known != published().end();
    const auto there = is_known ? begun.find(&*known) : begun.end();
    if (there != begun.end()) {
      groups[there->second].outputs.push_back(static_cast<std::int64_t>(output));
      continue;
    }
    if (is_known) {
      begun[&*known] = groups.size();
    }
    groups.push_back({{static_cast<std::int64_t>(output)}, is_known ? known->min_radius : 1.0});
  }
  return groups;
}

}  // namespace bevfusion
