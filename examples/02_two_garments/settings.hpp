// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "../support/garments.hpp"

namespace example {

/// What the command line decides.
struct Settings {
  std::string data = debian_garments;
  std::string out = "reports/two_garments";
  std::string results;                       ///< file of a comparison; empty: the page
  std::vector<std::string> calibrators;      ///< keys of choices()
  std::vector<double> loss_scale = {1, 10};  ///< left, right: the unit in which each loss comes
  int seeds = 3;
  int epochs = 4;
  std::int64_t samples = 20000;
  std::int64_t test_samples = 5000;
  std::int64_t batch = 128;
  std::string optimizer = "adam";
  double learning_rate = 0;  ///< 0: 0.001 with Adam, 0.01 with SGD
  std::string surface = "published";
  std::string apply_to = "published";
  int every = 1;         ///< the rule is asked in one of so many steps
  double smoothing = 0;  ///< how much of a weight stays where the rule gives a new one
  int jobs = 0;          ///< 0: one for each processor

  std::int64_t steps_per_epoch() const { return samples / batch; }
};

/// One optimizer step: what went in and what the calibrator made of it. NaN where nothing was measured.
struct StepRecord {
  double epoch = 0;                ///< epochs passed, with fraction
  std::array<double, 2> loss{};    ///< without loss_scale
  std::array<double, 2> weight{};  ///< on the shared parameters
  double cosine = 0;               ///< between the two task gradients
  double conflict = 0;             ///< 1 where that is negative
  double gamma = 0;                ///< larger over smaller task gradient, as it came
  double gamma_weighted = 0;       ///< and once weighted
};

/// What an epoch came to.
struct EpochRecord {
  int epoch = 0;
  std::array<double, 2> loss{};      ///< mean of the training loss, without loss_scale
  std::array<double, 2> accuracy{};  ///< on the test images, in percent
};

/// One training.
struct Run {
  std::string calibrator;
  int seed = 0;
  std::vector<StepRecord> steps;
  std::vector<EpochRecord> epochs;
  double step_seconds = 0;  ///< median processor time of a step
};

}  // namespace example
