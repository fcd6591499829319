// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "bevfusion/synth/synth_options.hpp"

namespace bevfusion {

/// What a synthetic data set's world and sensors are, from the synth.json beside its tables: all but how much of it there is and
/// its seed.
/// @throws DataError where the file is missing or damaged
SynthOptions read_synth_options(const std::filesystem::path& file);

}  // namespace bevfusion
