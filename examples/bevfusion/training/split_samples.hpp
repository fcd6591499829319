// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/nuscenes/splits.hpp"

namespace bevfusion {

/// The samples of a split, as far as the data set has its scenes: nuScenes comes in parts.
struct SplitSamples {
  std::vector<RowIndex> rows;
  std::size_t scenes = 0;   ///< that are there
  std::size_t missing = 0;  ///< scenes of the split that are not
  std::string called;       ///< the split as asked for, and what that means where it is another
};

/// @throws DataError for an unknown split
inline SplitSamples samples_of_split(const Tables& tables, const std::string& split) {
  SplitSamples out;
  const std::string official = official_name(tables.folder, split);
  out.called = official == split ? split : split + " (" + official + " in " + tables.folder.filename().string() + ")";
  std::vector<std::string> there;
  for (const std::string& scene : scenes_of_split(tables.folder, split)) {
    const bool found =
        std::any_of(tables.scenes.begin(), tables.scenes.end(), [&scene](const SceneRow& row) { return row.name == scene; });
    if (found) {
      there.push_back(scene);
    } else {
      ++out.missing;
    }
  }
  out.scenes = there.size();
  out.rows = samples_of_scenes(tables, there);
  return out;
}

}  // namespace bevfusion
