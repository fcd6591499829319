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

/// A calibrator by a rule, under the options of the command line.
template <class Rule>
Choice choice(const std::string& key, const std::string& title, const std::string& explain, const Rule& rule) {
  return {key, title, explain,
          [rule](const fuller::CalibrationOptions& options) { return fuller::Calibration(rule, task_names(), options); }};
}

/// The calibrators of the page, in the order of tables and plots. `scale` is the losses' unit, which only `tuned` may know.
inline std::vector<Choice> choices(const std::vector<double>& scale) {
  return {
      choice("sum", "plain sum", "the losses are added as they come (fuller::Uniform)", fuller::Uniform()),
      choice("tuned", "tuned by hand",
             "the sum with the losses' units divided out, which in practice has to be found by search (fuller::Constant)",
             fuller::Constant({1 / scale[0], 1 / scale[1]})),
      choice("imtl_g", "IMTL-G", "weights that give every task's gradient the same share in the step (fuller::IMTL_G)",
             fuller::IMTL_G()),
      choice("gradnorm", "GradNorm",
             "weights that learn to keep gradient norms in step with how fast each loss falls (fuller::GradNorm)",
             fuller::GradNorm()),
      choice("dwa", "DWA", "weights from how much each loss fell over the last two epochs, 1 until there are two (fuller::DWA)",
             fuller::DWA()),
      choice("pcgrad", "PCGrad", "what opposes the other task's gradient is projected out, both ways (fuller::PCGrad)",
             fuller::PCGrad()),
      choice("wpcgrad", "wPCGrad + DTP",
             "one task is drawn, the larger its loss the likelier; it keeps its gradient, the other loses what opposes it "
             "(fuller::WPCGrad)",
             fuller::WPCGrad<fuller::DTP>()),
  };
}

/// Those and every other rule, and the sum tuned by hand with one or the other task favoured.
inline std::vector<Choice> every_choice(const std::vector<double>& scale) {
  std::vector<Choice> all = choices(scale);
  Choice hybrid = choice("imtl", "IMTL", "IMTL-G on the logarithms of the losses", fuller::IMTL_G());
  hybrid.make = [](fuller::CalibrationOptions options) {
    options.stage = fuller::LossStage::log;
    return fuller::Calibration(fuller::IMTL_G(), task_names(), options);
  };
  const std::vector<Choice> others = {
      choice("tuned_left", "tuned by hand, left twice", "the same, the left task's weight twice the right one's",
             fuller::Constant({2 / scale[0], 1 / scale[1]})),
      choice("tuned_right", "tuned by hand, right twice", "the same, the other way round",
             fuller::Constant({1 / scale[0], 2 / scale[1]})),
      hybrid,
      choice("con_fig", "ConFIG", "equal projections, and their sum as the length of the step", fuller::ConFIG()),
      choice("aligned_mtl", "Aligned-MTL", "principal components of the gradients, made equally long", fuller::AlignedMTL()),
      choice("grad_vac", "GradVac", "PCGrad with a learnt target cosine", fuller::GradVac()),
      choice("db_mtl", "DB-MTL", "logarithms of losses, gradients as long as the longest", fuller::DBMTL()),
      choice("fair_grad", "FairGrad", "a fair compromise of the gains", fuller::FairGrad()),
      choice("nash_mtl", "Nash-MTL", "the Nash bargain of the gains", fuller::NashMTL()),
      choice("upgrad", "UPGrad", "each gradient projected onto what hurts nobody, then the mean", fuller::UPGrad()),
      choice("dual_proj", "DualProj", "the mean projected onto what hurts nobody", fuller::DualProj()),
      choice("mgda", "MGDA", "the shortest vector of the gradients' hull", fuller::MGDA()),
      choice("cagrad", "CAGrad", "the largest smallest gain near the mean", fuller::CAGrad()),
      choice("pcd", "PCD", "the left task's gradient, turned so far that the right one gets no worse", fuller::PCD()),
      choice("balancer", "Balancer", "each gradient over the moving mean of its norm", fuller::Balancer()),
      choice("grad_drop", "GradDrop", "one sign drawn for each element of the representation", fuller::GradDrop()),
      choice("uw", "UW", "learnt variances of the losses", fuller::UW()),
      choice("imtl_l", "IMTL-L", "learnt scales of the losses", fuller::IMTL_L()),
      choice("rlw", "RLW", "weights drawn anew in each step", fuller::RLW()),
      choice("famo", "FAMO", "all losses are to fall at one rate", fuller::FAMO()),
      choice("stch", "STCH", "a smooth maximum of the losses", fuller::STCH()),
      choice("gls", "GLS", "the geometric mean of the losses", fuller::GLS()),
      choice("go4align", "GO4Align", "one weight for each group of tasks", fuller::GO4Align()),
      choice("ldc", "LDC-MTL", "one penalised objective of the losses, as released", fuller::LDC()),
  };
  all.insert(all.end(), others.begin(), others.end());
  return all;
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
