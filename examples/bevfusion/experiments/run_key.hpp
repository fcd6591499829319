// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "bevfusion/experiments/experiment_plan.hpp"

namespace bevfusion {

/// Value of a field; empty where it is not there.
std::string value_of(const ConfigFields& config, const std::string& field);
/// Likewise, as a number. @throws std::runtime_error where it is none
double number_of_field(const ConfigFields& config, const std::string& field);

/// The name of a run's folder: what can be read of it, and a hash of all that it learns from, seed apart. Runs of the same name
/// are the same run. A field that a later version adds does not change names, as long as its default means what was there before.
/// @param config    the fields of the run
/// @param defaults  those of its size alone
/// @param data      what makes the data set
std::string run_name(const ConfigFields& config, const ConfigFields& defaults, const std::string& data);

/// Names of the fields in which two configs differ, of those that both have and that a run's figures depend on.
std::vector<std::string> different_fields(const ConfigFields& a, const ConfigFields& b);

}  // namespace bevfusion
