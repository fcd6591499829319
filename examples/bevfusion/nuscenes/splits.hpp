// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace bevfusion {

/// Scene names of a split: "train" (700), "val" (150), "test" (150), "mini_train" (8), "mini_val" (2); throws DataError for
/// another name.
std::vector<std::string> official_split(const std::string& split);

/// What a split of a data set is called officially: "mini_train" and "mini_val" for the "train" and "val" of a folder "v1.0-mini"
/// without a splits.json, whose scenes lie in both of the large ones; else the name itself.
std::string official_name(const std::filesystem::path& tables, const std::string& split);

/// Scene names of a split of a data set: those of `<folder of tables>/splits.json` where there is such a file (an object from
/// split to names, as the devkit reads it; synthetic sets have one), else those of the official_name(). Throws DataError for a
/// split that is not there; it says which there are.
std::vector<std::string> scenes_of_split(const std::filesystem::path& tables, const std::string& split);

/// The names of the splits that a data set can have scenes of: those in its splits.json, else the official five.
std::vector<std::string> known_splits(const std::filesystem::path& tables);

}  // namespace bevfusion
