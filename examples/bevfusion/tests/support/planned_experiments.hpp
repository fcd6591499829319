// SPDX-License-Identifier: Apache-2.0
// Plans of the repository's experiments, with a program that stands in for the real one.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "bevfusion/experiments/experiment_plan.hpp"
#include "bevfusion/tests/support/data_folders.hpp"

namespace bevfusion::testing {

inline std::filesystem::path configs() { return std::filesystem::path(FULLER_SOURCE_DIR) / "examples" / "bevfusion" / "configs"; }

/// What `train --print-config` says, as far as the names of runs depend on it: the words themselves as fields, those of a file
/// that sets parts or rule put in.
inline std::string printed_config(const std::vector<std::string>& words) {
  std::string rule = "imtl_g", gate = "gradient", detection = "true", segmentation = "true", others, epochs = "12";
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::string value = word.substr(word.find('=') + 1);
    if (word == "--config") {
      const std::string file = std::filesystem::path(words[++i]).stem().string();
      rule = file == "baseline" ? "uniform" : file == "tiny" ? rule : "none";
      gate = file == "baseline" ? "measure" : file == "tiny" ? gate : "none";
      detection = file == "segmentation_only" ? "false" : "true";
      segmentation = file == "detection_only" ? "false" : "true";
      others += file == "baseline" || file == "tiny" || file == "segmentation_only" || file == "detection_only" ? "" : file + " ";
    } else if (word.rfind("--rule=", 0) == 0) {
      rule = value;
    } else if (word.rfind("--gate=", 0) == 0) {
      gate = value;
    } else if (word.rfind("--epochs=", 0) == 0) {
      epochs = value;
    } else if (word.rfind("--size=", 0) != 0 && word.rfind("--device=", 0) != 0) {
      others += word + " ";
    }
  }
  return "size = \"tiny\"\n[model.parts]\nlidar = true\ncamera = true\ndetection = " + detection +
         "\nsegmentation = " + segmentation +
         "\n[data]\nroot = \"\"\ntrain_split = \"train\"\n[training]\nseed = 0\ndevice = \"cpu\"\nbatch = 4\naccumulate = "
         "1\nepochs = " +
         epochs + "\n[calibration]\nrule = \"" + rule + "\"\ngate = \"" + gate + "\"\nothers = \"" + others + "\"\n";
}

inline ExperimentOptions experiment_options(const std::filesystem::path& out, const std::vector<std::string>& names) {
  ExperimentOptions options;
  options.names = names;
  options.configs = configs();
  options.out = out;
  options.jobs = 2;
#ifdef FAKE_BEVFUSION
  options.program = FAKE_BEVFUSION;
#endif
  options.print_config = printed_config;
  return options;
}

inline std::vector<std::string> lines_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(in, line);) {
    lines.push_back(line);
  }
  return lines;
}

}  // namespace bevfusion::testing
