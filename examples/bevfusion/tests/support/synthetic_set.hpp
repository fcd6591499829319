// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

#include "bevfusion/nuscenes/bytes.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/synth/synth_scene.hpp"
#include "bevfusion/tests/support/data_folders.hpp"

namespace bevfusion {

inline SynthOptions small_set() {
  SynthOptions options = SynthOptions::tiny();
  options.scenes = 3;
  options.samples = 4;
  options.sweeps = 2;
  options.azimuths = 240;
  options.supersample = 1;
  options.seed = 11;
  options.most_objects = 25;
  options.fewest_objects = 12;
  return options;
}

// The data set of small_set(), made once for all test cases.
struct SmallSet {
  testing::TemporaryFolder folder;
  SynthOptions options = small_set();
  SynthReport report;
  Tables tables;
  SmallSet() {
    options.out = folder.path();
    report = generate(options);
    tables = read_tables(options.out, options.version);
  }
};
inline const SmallSet& small() {
  static const SmallSet set;
  return set;
}

inline std::map<std::string, std::vector<std::uint8_t>> all_files(const std::filesystem::path& root) {
  std::map<std::string, std::vector<std::uint8_t>> files;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root)) {
    if (entry.is_regular_file()) files[std::filesystem::relative(entry.path(), root).string()] = read_bytes(entry.path());
  }
  return files;
}

// Samples in the scenes' order, as generated.
inline RowIndex sample_of(const SmallSet& set, int scene, int sample) {
  return static_cast<RowIndex>(scene * set.options.samples + sample);
}

}  // namespace bevfusion
