// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/serialize/archive.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/network.hpp"

namespace bevfusion {

/// A network's parameters and buffers, by name.
std::vector<std::pair<std::string, torch::Tensor>> weights_by_name(const Network& network);

/// An average of a network's weights over the course of its training (training.average), which is evaluated in their place: one
/// step's noise is not in it. Running means and variances are averaged like weights; whole numbers are taken as they last were.
class AveragedWeights {
 public:
  explicit AveragedWeights(const TrainingConfig& config)
      : kind_(config.average), decay_(config.average_decay), first_(config.epochs - config.average_epochs) {}

  /// By ema: a <- d a + (1 - d) w with d = min(average_decay, (1 + n) / (10 + n)) after n steps, so that the first weights, which
  /// are random, do not stay in it.
  void after_step(const Network& network);
  /// By last: the mean over the ends of the last average_epochs epochs.
  /// @param epoch  that has ended, from 0
  void after_epoch(const Network& network, std::int64_t epoch);

  bool ready() const { return count_ > 0; }  ///< whether there is something to evaluate

  /// Gives the network the average and keeps its weights, or the other way round.
  void exchange(Network& network);

  void save(torch::serialize::OutputArchive& archive) const;
  /// @throws c10::Error where it holds another network's
  void load(torch::serialize::InputArchive& archive, const Network& network);

 private:
  void move(const Network& network, double share);

  std::string kind_;
  double decay_;
  std::int64_t first_;
  std::int64_t count_ = 0;  ///< steps or epochs that are in it
  std::vector<std::pair<std::string, torch::Tensor>> average_;
};

}  // namespace bevfusion
