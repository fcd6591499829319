// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <iosfwd>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

namespace bevfusion {

/// Values by name, in the order of the file that they are from; those alone that are numbers.
using NamedNumbers = std::vector<std::pair<std::string, double>>;

/// The value of a name; NaN where there is none.
double number_of(const NamedNumbers& numbers, const std::string& name);

/// Figures by class, and the thresholds that they were found at, where they have such.
struct Detail {
  NamedNumbers values;
  NamedNumbers thresholds;
};

/// What an evaluation says beside its headline.
struct EvaluationDetails {
  std::map<std::string, Detail> tables;  ///< by the headings of the tasks' sheets
  std::string split;                     ///< where the evaluation names it
  double samples = 0;                    ///< 0: not said
};

/// @param evaluation  what evaluation.json holds
/// @throws nlohmann::json::exception for parts that are there and are not what they should be
EvaluationDetails evaluation_details(const nlohmann::ordered_json& evaluation);

/// Fields of a config file by their full names ("training.seed"), as they are written; nothing where there is no file.
/// @throws std::runtime_error naming file and line for one that begins with neither a section, a field nor a comment
std::vector<std::pair<std::string, std::string>> config_fields_in(const std::filesystem::path& file);
/// The same of an open file, or of what `train --print-config` prints.
std::vector<std::pair<std::string, std::string>> config_fields_of(std::istream& in, const std::string& called);

/// When the run began, "2026-01-31 12:00 UTC": of its first event file's name. Empty where there is none.
std::string begun(const std::filesystem::path& folder);

}  // namespace bevfusion
