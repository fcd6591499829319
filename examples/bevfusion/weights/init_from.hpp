// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <iosfwd>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/network.hpp"
#include "bevfusion/weights/name_map.hpp"
#include "bevfusion/weights/state_file.hpp"

namespace bevfusion {

/// Which tensors of a file became which of a module.
struct InitReport {
  std::vector<std::pair<std::string, std::string>> matched;     ///< theirs, ours
  std::vector<std::pair<std::string, std::string>> mismatched;  ///< theirs, and what is wrong: other shape
  std::vector<std::string> unmatched;                           ///< theirs, that no tensor of ours is named for
  std::vector<std::string> unfilled;                            ///< ours, that keep what they had
};

/// Copies the tensors of a file into the parameters and buffers of a module; elements take the type and device that are there.
/// @param prefix  only names of ours that start so count
/// @throws DataError for a file that cannot be read
InitReport init_from(StateFile& file, const NameMap& names, torch::nn::Module& module, const std::string& prefix = "");

/// Prints what matched, and what did not.
void print(const InitReport& report, std::ostream& out);

/// Starts the branches of every tower from the files of a config, and says which tensors matched.
///
/// Names of ours are those within a tower: `lidar.input_conv.weight`, `images.swin.patches.weight`. A checkpoint of this program
/// needs no map.
/// @throws DataError for a file that cannot be read, or of which nothing matches; std::invalid_argument where the network has no
///   such branch
void init_network(Network& network, const InitConfig& config, std::ostream& say);

}  // namespace bevfusion
