// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace bevfusion {

/// The table of a results file as Markdown: a row each with its runs' mean ± half the 95 % interval, the paper's figure in
/// brackets, and below it what ran where.
/// @param rows  keys of rows; all that were run where empty
/// @throws std::invalid_argument for a row that is not in it, nlohmann::json::exception for a malformed file
std::string results_markdown(const nlohmann::ordered_json& results, const std::vector<std::string>& rows);

/// Brings what is quoted from ROOT/docs/results/*.json up to date: docs/results/NAME.md beside each, and in README.md and the
/// Markdown files of docs/ and examples/ whatever stands between `<!-- results NAME -->`, or `<!-- results NAME ROW,ROW -->`, and
/// `<!-- /results -->`.
/// @param check  only look
/// @return the files that are not as they should be (and now are, unless it was only looked)
/// @throws std::invalid_argument with file and line for a block of results that are not there, or that has no end
std::vector<std::filesystem::path> quote_results(const std::filesystem::path& root, bool check);

}  // namespace bevfusion
