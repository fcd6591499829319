// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "bevfusion/synth/sample_files.hpp"
#include "bevfusion/synth/synth_scene.hpp"

namespace bevfusion {

/// Writes a scene's base map (where options ask for it) and map expansion.
void write_map_files(const SynthScene& scene, const SynthOptions& options);

/// Writes the 13 tables and splits.json. `seen`: what write_sample_files() told, of each scene's samples in turn.
void write_tables(const std::vector<SynthScene>& scenes, const std::vector<std::vector<SeenObject>>& seen,
                  const SynthOptions& options);

}  // namespace bevfusion
