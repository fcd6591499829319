// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include "bevfusion/model/bev_fusion.hpp"

namespace bevfusion {

/// How a sensor is missing in an evaluation.
enum class Missing {
  maps,    ///< its branch's BEV map is replaced by zeros, so not even a bias of the branch is left
  inputs,  ///< black pictures, or clouds without a point, go through its branch
};

/// A batch in which a sensor saw nothing: black pictures ("camera"), where the cameras look as they did; empty clouds ("lidar").
/// @throws std::invalid_argument for another name
ModelInput without_input(ModelInput input, const std::string& modality);

/// A batch without one of its cameras, as one that the data set does not have: a picture of the mean colour that looks nowhere.
/// @param camera  its place in the batch
/// @throws std::invalid_argument for a batch with fewer cameras
ModelInput without_camera(ModelInput input, std::size_t camera);

}  // namespace bevfusion
