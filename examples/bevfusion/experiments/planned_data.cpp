// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/planned_data.hpp"

#include <array>
#include <stdexcept>
#include <string>
#include <utility>

namespace bevfusion {
namespace {

/// Scenes of a synthetic data set, and how long one sample takes to write on one core.
struct SynthSize {
  const char* size;
  bool quick;
  bool driving;
  int training_scenes, validation_scenes, test_scenes, samples;
  double seconds_per_sample;
};
// One seed's mAP moves by 0.01 with 40 samples to evaluate on, as much as the effects that are looked for: 400 at least, but in
// the quick plan, whose report says so. They are of split test: whoever chooses something does so on the few of split val, which
// also show the course of training.
// A driver's scenes are longer: the last 1.5 s of each have no way before them. There are fewer of them: a step of six tasks
// takes twice as long.
constexpr std::array<SynthSize, 8> sizes = {{{"tiny", false, false, 42, 10, 100, 4, 0.1},
                                             {"tiny", true, false, 42, 10, 20, 4, 0.1},
                                             {"tiny", false, true, 24, 6, 36, 12, 0.1},
                                             {"tiny", true, true, 24, 4, 12, 12, 0.1},
                                             {"small", false, false, 100, 20, 40, 10, 5},
                                             {"small", true, false, 20, 4, 8, 10, 5},
                                             {"small", false, true, 90, 16, 36, 12, 5},
                                             {"small", true, true, 18, 3, 6, 12, 5}}};

PlannedData given(const ExperimentOptions& options) {
  PlannedData data;
  data.root = std::filesystem::absolute(options.data).lexically_normal();
  data.version = options.version.empty() ? "v1.0-trainval" : options.version;
  if (!std::filesystem::is_directory(data.root / data.version)) {
    throw std::invalid_argument(
        (data.root / data.version).string() +
        " is not there; --data names a data set's folder and --version that of its tables, such as v1.0-mini");
  }
  data.key = data.root.string() + ", " + data.version;
  data.there = true;
  return data;
}

}  // namespace

PlannedData plan_data(const ExperimentOptions& options, bool driving) {
  if (!options.data.empty()) {
    return given(options);
  }
  if (!options.version.empty()) {
    throw std::invalid_argument("--version names the tables of a data set, and needs --data");
  }
  for (const SynthSize& one : sizes) {
    if (options.size != one.size || options.quick != one.quick || driving != one.driving) {
      continue;
    }
    PlannedData data;
    const int scenes = one.training_scenes + one.validation_scenes;
    data.training_samples = one.training_scenes * one.samples;
    data.evaluation_samples = one.test_scenes * one.samples;
    data.evaluation_split = "test";
    data.version = "v1.0-synth";
    data.key = options.size + (driving ? "-driving-" : "-") + std::to_string(one.training_scenes) + "+" +
               std::to_string(one.validation_scenes) + "+" + std::to_string(one.test_scenes) + "x" + std::to_string(one.samples);
    data.root = options.out / "data" / data.key;
    data.there = std::filesystem::exists(data.root / data.version / "scene.json");
    data.synth_command = {options.called, "synth"};
    if (options.size == "tiny") {
      data.synth_command.emplace_back("--tiny");
    }
    if (driving) {
      data.synth_command.emplace_back("--driving");
    }
    for (const auto& [option, number] : {std::pair("--scenes", scenes),
                                         {"--validation-scenes", one.validation_scenes},
                                         {"--test-scenes", one.test_scenes},
                                         {"--samples", one.samples}}) {
      data.synth_command.emplace_back(option);
      data.synth_command.push_back(std::to_string(number));
    }
    data.synth_command.emplace_back("--out");
    data.synth_command.push_back(data.root.string());
    data.seconds = data.there ? 0 : one.seconds_per_sample * (scenes + one.test_scenes) * one.samples;
    return data;
  }
  throw std::invalid_argument("size " + options.size +
                              " has no synthetic scenes; --data DIR and --version name a data set in nuScenes' format");
}

}  // namespace bevfusion
