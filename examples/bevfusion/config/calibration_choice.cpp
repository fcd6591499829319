// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/calibration_choice.hpp"

#include <algorithm>
#include <stdexcept>

namespace bevfusion {
namespace {

[[noreturn]] void unknown(const char* field, const std::string& value) {
  throw std::invalid_argument(std::string("calibration.") + field + " '" + value + "' is unknown");
}

std::optional<fuller::Surface> chosen_surface(const std::string& name) {
  if (name == "published") return std::nullopt;
  if (name == "last_shared") return fuller::Surface::last_shared;
  if (name == "representation") return fuller::Surface::representation;
  if (name == "all_shared") return fuller::Surface::all_shared;
  unknown("surface", name);
}

std::optional<fuller::ApplyTo> chosen_reach(const std::string& name) {
  if (name == "published") return std::nullopt;
  if (name == "all") return fuller::ApplyTo::all;
  if (name == "shared_only") return fuller::ApplyTo::shared_only;
  unknown("apply_to", name);
}

fuller::ModalityGate gate_of(const CalibrationConfig& config) {
  fuller::ModalityGateOptions options;
  options.alpha = config.gate_alpha;
  options.momentum = config.gate_momentum;
  options.floor = config.gate == "measure" ? 1 : config.gate_floor;
  options.norm = config.gate_norm == "rms" ? fuller::GateNorm::rms : fuller::GateNorm::l2;
  options.shape = config.gate_step == "continuous" ? fuller::GateShape::continuous : fuller::GateShape::paper;
  options.target = config.gate == "update" ? fuller::GateTarget::update : fuller::GateTarget::gradient;
  return fuller::ModalityGate(options);
}

int number_of(const std::vector<std::string>& tasks, const char* name) {
  const auto found = std::find(tasks.begin(), tasks.end(), name);
  if (found == tasks.end()) {
    throw std::invalid_argument(std::string("calibration.priorities: there is no task ") + name);
  }
  return static_cast<int>(found - tasks.begin());
}

/// Calls `use` with the rule that the config names.
template <class Use>
auto with_rule(const RunConfig& config, const Use& use) {
  const CalibrationConfig& chosen = config.calibration;
  if (chosen.rule == "none" || chosen.rule == "uniform") {
    return use(fuller::Uniform());
  }
  if (chosen.rule == "imtl_g") {
    return use(fuller::IMTL_G());
  }
  if (chosen.rule == "gradnorm") {
    fuller::GradNormOptions options;
    options.alpha = chosen.gradnorm_alpha;
    return use(fuller::GradNorm(options));
  }
  if (chosen.rule == "dwa") {
    fuller::DWAOptions options;
    options.temperature = chosen.dwa_temperature;
    return use(fuller::DWA(options));
  }
  if (chosen.rule == "pcgrad") {
    return use(fuller::PCGrad(fuller::PCGradOptions{config.training.seed}));
  }
  if (chosen.rule == "wpcgrad") {
    fuller::WPCGradOptions options;
    options.seed = config.training.seed;
    if (chosen.priorities == "dtp") {
      return use(fuller::WPCGrad<fuller::DTP>(fuller::DTP(fuller::DTPOptions{chosen.dtp_gamma, {}}), options));
    }
    const std::vector<std::string> tasks = task_names(config);
    const int segmentation = number_of(tasks, "segmentation");
    const int velocity = number_of(tasks, "velocity");
    const std::int64_t epochs = config.training.epochs;
    if (chosen.priorities == "seg_to_vel") {
      return use(fuller::WPCGrad<fuller::PhaseSchedule>(fuller::seg_to_vel(epochs, segmentation, velocity), options));
    }
    if (chosen.priorities == "vel_to_seg") {
      return use(fuller::WPCGrad<fuller::PhaseSchedule>(fuller::vel_to_seg(epochs, segmentation, velocity), options));
    }
    unknown("priorities", chosen.priorities);
  }
  unknown("rule", chosen.rule);
}

}  // namespace

std::vector<std::string> task_names(const RunConfig& config) {
  const TaskChoices& tasks = config.model.parts.tasks;
  std::vector<std::string> names;
  for (const TaskSheet& task : tasks.chosen()) {
    const std::vector<std::string> losses = tasks.judged(task, config.losses.tasks).loss_names();
    names.insert(names.end(), losses.begin(), losses.end());
  }
  return names;
}

std::vector<double> task_weights(const RunConfig& config) {
  const TaskChoices& tasks = config.model.parts.tasks;
  std::vector<double> weights;
  for (const TaskSheet& task : tasks.chosen()) {
    weights.insert(weights.end(), tasks.judged(task, config.losses.tasks).loss_names().size(), config.losses.weight(task.name));
  }
  return weights;
}

bool losses_share_heads(const RunConfig& config) { return task_names(config).size() > config.model.parts.tasks.chosen().size(); }

fuller::Surface surface_of(const CalibrationConfig& calibration) {
  const auto chosen = chosen_surface(calibration.surface);
  const bool projects = calibration.rule == "pcgrad" || calibration.rule == "wpcgrad";
  return chosen.value_or(projects ? fuller::PCGrad::default_surface : fuller::IMTL_G::default_surface);
}

std::optional<fuller::Calibration> make_calibration(const RunConfig& config, const std::vector<std::string>& modalities,
                                                    const fuller::Ranks& ranks) {
  const CalibrationConfig& chosen = config.calibration;
  if (chosen.rule == "none" && chosen.gate == "none") {
    return std::nullopt;
  }
  fuller::CalibrationOptions options;
  options.ranks = ranks;
  options.surface = chosen_surface(chosen.surface);
  options.apply_to = chosen_reach(chosen.apply_to);
  (config.losses.static_weights == "after" ? options.after : options.before) = fuller::TaskVector(task_weights(config));
  options.measure_every = chosen.rule == "none" ? 0 : static_cast<int>(chosen.measure_every);
  options.every = static_cast<int>(chosen.every);
  options.smoothing = chosen.smoothing;
  std::optional<fuller::Calibration> calibration = with_rule(config, [&](const auto& rule) {
    return std::optional<fuller::Calibration>(fuller::Calibration(rule, task_names(config), options));
  });
  if (chosen.gate != "none") {
    calibration->modalities(gate_of(chosen), modalities);
  }
  return calibration;
}

}  // namespace bevfusion
