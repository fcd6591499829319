// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bevfusion/report/report_tables.hpp"

namespace bevfusion {

/// A row a run: what made it, on what, when, and how long it took.
TableRows run_rows(const std::vector<RunGroup>& groups);

/// Fields of the configs in which the names differ, a column a group, all values of a group's runs in a cell; the head alone
/// where none differ. Seeds, which differ within a name, count as one value.
TableRows config_rows(const std::vector<RunGroup>& groups);

/// What makes a comparison unfair, a sentence each: runs of one name that differ in more than the seed, evaluations of different
/// splits or numbers of samples, gamma_task with and without a direction, a training that has not ended.
std::vector<std::string> cautions(const std::vector<RunGroup>& groups);

/// The address of a run's file relative to the page's folder, as it stands in HTML.
std::string address_of(const RunRecord& run, const std::string& file, const std::filesystem::path& page_folder);

/// Links to a run's files, as a list item of HTML, relative to the page's folder.
std::string links_to(const RunRecord& run, const std::filesystem::path& page_folder);

}  // namespace bevfusion
