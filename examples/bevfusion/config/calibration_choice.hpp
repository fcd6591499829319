// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include <fuller/fuller.hpp>

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {

/// Names of a run's tasks, in the order in which their losses go to the calibration: those of the model's tasks, or, of one whose
/// losses losses.tasks splits, of its parts.
std::vector<std::string> task_names(const RunConfig& config);

/// Static weights of the tasks, in the same order; the parts of a split loss have its weight each.
std::vector<double> task_weights(const RunConfig& config);

/// Whether several losses are of one head.
bool losses_share_heads(const RunConfig& config);

/// Where the rule compares gradients: as chosen, or as published.
/// @throws std::invalid_argument for an unknown name
fuller::Surface surface_of(const CalibrationConfig& calibration);

/// The calibration that a run asks for, with the static weights before the rule, so that L_i becomes s_i L_i as in FULLER's 1:1,
/// 1:5 and 1:10, or after it (losses.weights): the losses go to it unweighted. Nothing where neither rule nor gate is asked for:
/// the trainer then weighs and adds the losses itself.
/// @param modalities  names of the network's branches; gates need two or more
/// @param ranks       over which it averages
/// @throws std::invalid_argument for an unknown name, fuller::Error for options that the library refuses
std::optional<fuller::Calibration> make_calibration(const RunConfig& config, const std::vector<std::string>& modalities,
                                                    const fuller::Ranks& ranks = {});

}  // namespace bevfusion
