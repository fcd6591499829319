// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace bevfusion {

/// Scene names of a split: "train" (700), "val" (150), "mini_train" (8), "mini_val" (2); throws DataError for another name.
std::vector<std::string> official_split(const std::string& split);

/// Scene names of a split of a data set: those of `<folder of tables>/splits.json` where there is such a file (an object from
/// split to names, as the devkit reads it; synthetic sets have one), else the official ones, where "train" of "v1.0-mini" is
/// mini_train.
std::vector<std::string> scenes_of_split(const std::filesystem::path& tables, const std::string& split);

}  // namespace bevfusion
