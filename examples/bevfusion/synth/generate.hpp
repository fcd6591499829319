// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

#include "bevfusion/synth/synth_options.hpp"

namespace bevfusion {

/// What was written.
struct SynthReport {
  int scenes = 0;
  int samples = 0;
  std::int64_t annotations = 0;
  double seconds = 0;
};

/// Writes a data set in nuScenes' format: the 13 tables and splits.json, sweeps and pictures, base maps and map expansions. The
/// same seed and options give the same bytes, whatever the number of threads. `progress`, if given, is told samples done and in
/// all, from one thread at a time. Throws std::invalid_argument for an option that cannot be and DataError where the
/// folder holds a data set already, of this or another version, and std::runtime_error where a file cannot be written or another
/// process writes there.
SynthReport generate(const SynthOptions& options, const std::function<void(int done, int all)>& progress = {});

}  // namespace bevfusion
