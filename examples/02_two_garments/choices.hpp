// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include <fuller/fuller.hpp>

#include "settings.hpp"

namespace example {

/// A calibrator that can be chosen by name.
struct Choice {
  std::string key;      ///< on the command line
  std::string title;    ///< in tables and plots
  std::string explain;  ///< in one sentence
  std::function<fuller::Calibration(const fuller::CalibrationOptions&)> make;
};

inline fuller::CalibrationOptions calibration_options(const Settings& settings) {
  fuller::CalibrationOptions options;
  options.measure_every = 8;  // so that conflicts are seen under rules, too, that need no gradients
  options.every = settings.every;
  options.smoothing = settings.smoothing;
  if (settings.surface == "last") {
    options.surface = fuller::Surface::last_shared;
  } else if (settings.surface == "representation") {
    options.surface = fuller::Surface::representation;
  } else if (settings.surface == "all") {
    options.surface = fuller::Surface::all_shared;
  }
  if (settings.apply_to == "all") {
    options.apply_to = fuller::ApplyTo::all;
  } else if (settings.apply_to == "shared") {
    options.apply_to = fuller::ApplyTo::shared_only;
  }
  return options;
}

inline const std::vector<std::string>& task_names() {
  static const std::vector<std::string> names = {"left", "right"};
  return names;
}

/// Every calibrator of this example, in the order of tables and plots. `scale` is the losses' unit, which only `tuned` may know.
inline std::vector<Choice> choices(const std::vector<double>& scale) {
  using Options = fuller::CalibrationOptions;
  const std::vector<double> inverse = {1 / scale[0], 1 / scale[1]};
  return {
      {"sum", "plain sum", "the losses are added as they come (fuller::Uniform)",
       [](const Options& o) { return fuller::Calibration(fuller::Uniform(), task_names(), o); }},
      {"tuned", "tuned by hand",
       "the sum with the losses' units divided out, which in practice has to be found by search (fuller::Constant)",
       [inverse](const Options& o) { return fuller::Calibration(fuller::Constant(inverse), task_names(), o); }},
      {"imtl_g", "IMTL-G", "weights that give every task's gradient the same share in the step (fuller::IMTL_G)",
       [](const Options& o) { return fuller::Calibration(fuller::IMTL_G(), task_names(), o); }},
      {"gradnorm", "GradNorm",
       "weights that learn to keep gradient norms in step with how fast each loss falls (fuller::GradNorm)",
       [](const Options& o) { return fuller::Calibration(fuller::GradNorm(), task_names(), o); }},
      {"dwa", "DWA", "weights from how much each loss fell over the last two epochs, 1 until there are two (fuller::DWA)",
       [](const Options& o) { return fuller::Calibration(fuller::DWA(), task_names(), o); }},
      {"pcgrad", "PCGrad", "what opposes the other task's gradient is projected out, both ways (fuller::PCGrad)",
       [](const Options& o) { return fuller::Calibration(fuller::PCGrad(), task_names(), o); }},
      {"wpcgrad", "wPCGrad + DTP",
       "one task is drawn, the larger its loss the likelier; it keeps its gradient, the other loses what opposes it "
       "(fuller::WPCGrad)",
       [](const Options& o) { return fuller::Calibration(fuller::WPCGrad<fuller::DTP>(), task_names(), o); }},
  };
}

inline const Choice& find_choice(const std::vector<Choice>& all, const std::string& key) {
  for (const auto& choice : all) {
    if (choice.key == key) {
      return choice;
    }
  }
  std::string known;
  for (const auto& choice : all) {
    known += (known.empty() ? "" : ", ") + choice.key;
  }
  throw std::invalid_argument("no calibrator '" + key + "'; there are: " + known);
}

}  // namespace example
