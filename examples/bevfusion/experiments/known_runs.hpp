// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "bevfusion/experiments/finished_experiment.hpp"

namespace bevfusion {

/// Finished runs whose folders are elsewhere, or gone: what files of results (results.json) say of them. They are known by the
/// names of their folders, which tell all that a run learns from, and its seed; so they count for every experiment that asks for
/// the same run.
class KnownRuns {
 public:
  KnownRuns() = default;
  /// @param files  the first that has a run counts
  /// @throws std::runtime_error naming a file that cannot be read, or has no results
  explicit KnownRuns(const std::vector<std::filesystem::path>& files);

  /// Makes a run that is not done a known one, where there is such a one: done, with figures in place of a folder.
  void complete(ExperimentRun& run) const;
  void complete(FinishedExperiment& experiment) const;

 private:
  std::map<std::string, ExperimentRun> runs_;
};

}  // namespace bevfusion
