// SPDX-License-Identifier: Apache-2.0
#pragma once

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

}  // namespace bevfusion
