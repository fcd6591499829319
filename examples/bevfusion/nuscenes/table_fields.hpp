// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <Eigen/Core>
#include <string>
#include <string_view>

#include "bevfusion/geometry/rigid_transform.hpp"
#include "bevfusion/nuscenes/json_rows.hpp"

namespace bevfusion {

// Fields of nuScenes' rows that mean more than a number. Each throws DataError for a value that cannot be.

/// Three finite numbers of at most 1e7 m.
Eigen::Vector3d vector_field(const JsonRow& row, std::string_view field);

/// "rotation": w, x, y, z.
Eigen::Matrix3d rotation_field(const JsonRow& row);

/// "translation" and "rotation".
RigidTransform transform_field(const JsonRow& row);

/// "camera_intrinsic": 3 x 3, with focal lengths above zero and a last row of 0, 0, 1.
Eigen::Matrix3d intrinsic_field(const JsonRow& row);

/// A whole number of least ... most.
int int_field(const JsonRow& row, std::string_view field, int least, int most);

/// "level" of a visibility: 1 ... 4 for nuScenes' "v0-40", "v40-60", "v60-80", "v80-100"; 0 for another text.
int visibility_level_field(const JsonRow& row);

/// A path below the data set's root: neither absolute nor with a ".." in it.
std::string relative_path_field(const JsonRow& row, std::string_view field);

}  // namespace bevfusion
