// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/twin_networks.hpp"

#include <cmath>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/batch_norm.hpp"
#include "bevfusion/ranks/run_ranks.hpp"
#include "bevfusion/training/divided_batch.hpp"
#include "bevfusion/training/trainer.hpp"
#include "bevfusion/training/weights_archive.hpp"
#include "bevfusion/weights/init_from.hpp"

namespace bevfusion {

RunConfig twin_config(RunConfig config, const std::string& task) {
  config.model.parts.tasks.keep_only(task);
  config.model.separate_towers = false;
  config.model.separate_bev = false;
  config.calibration = CalibrationConfig();
  config.calibration.rule = "none";
  config.calibration.gate = "none";
  config.losses.static_weights = "before";
  config.training.rows_every = 0;
  config.distillation = DistillationConfig();
  return config;
}

TwinNetwork::TwinNetwork(std::string task, const RunConfig& config, const Kinds& kinds, RunRanks* ranks)
    : task_(std::move(task)), ranks_(ranks) {
  const RunConfig own = twin_config(config, task_);
  torch::manual_seed(own.training.seed);
  network_ = Network(own.model, kinds);  // of one task: not every one of model.numbers is read
  network_->to(torch::Device(own.training.device));
  towers_.push_back(std::make_unique<TowerTrainer>(network_->towers().front(), own));
  towers_.front()->keep_answers();
  if (ranks_ != nullptr && own.training.sync_batch_norm) {
    norms_ = synchronise_batch_norm(*network_, ranks_->beside("batch norm of the twin of " + task_));
  }
}

std::vector<double> TwinNetwork::learn(const ModelInput& input, const TrainingBatch& batch, double share) {
  if (ranks_ == nullptr) {
    return towers_.front()->backward(input, batch, share);
  }
  return learn_together(*ranks_, towers_, network_, batch, input, share, norms_.get()).front();
}

void TwinNetwork::step(const ScheduledStep& schedule) {
  try {
    towers_.front()->step(schedule);
  } catch (const std::runtime_error& error) {
    throw std::runtime_error("the twin of " + task_ + ": " + error.what());
  }
}

void TwinNetwork::save(torch::serialize::OutputArchive& archive) const {
  torch::serialize::OutputArchive tensors(archive.compilation_unit());
  write_weights(tensors, *network_);
  archive.write("network", tensors);
  torch::serialize::OutputArchive tower(archive.compilation_unit());
  towers_.front()->save(tower);
  archive.write("tower", tower);
}

void TwinNetwork::load(torch::serialize::InputArchive& archive) {
  torch::serialize::InputArchive tensors;
  archive.read("network", tensors);
  read_weights(tensors, *network_);
  torch::serialize::InputArchive tower;
  archive.read("tower", tower);
  towers_.front()->load(tower);
}

TwinNetworks::TwinNetworks(const RunConfig& config, const Kinds& kinds, RunRanks* ranks) {
  if (config.distillation.twins_share == "nothing") {
    for (const std::string& task : names_in(config.distillation.twins)) {
      twins_.push_back(std::make_shared<TwinNetwork>(task, config, kinds, ranks));
    }
  }
}

std::vector<torch::Tensor> TwinNetworks::parameters() const {
  std::vector<torch::Tensor> parameters;
  for (const auto& twin : twins_) {
    const std::vector<torch::Tensor> own = twin->network()->parameters();
    parameters.insert(parameters.end(), own.begin(), own.end());
  }
  return parameters;
}

void TwinNetworks::begin_from(const InitConfig& init) {
  if (init.lidar.empty() && init.camera.empty()) {
    return;
  }
  std::ostringstream unheard;
  for (const auto& twin : twins_) {
    init_network(twin->network(), init, unheard);
  }
}

void TwinNetworks::learn(const ModelInput& input, const TrainingBatch& batch, double share) {
  losses_.clear();
  for (const auto& twin : twins_) {
    const std::vector<double> losses = twin->learn(input, batch, share);
    for (std::size_t i = 0; i < losses.size(); ++i) {
      if (!std::isnan(losses[i])) {
        losses_.emplace_back(twin->trainer().tasks()[i], losses[i]);
      }
    }
  }
}

void TwinNetworks::step(const ScheduledStep& schedule) {
  for (const auto& twin : twins_) {
    twin->step(schedule);
  }
}

void TwinNetworks::save(torch::serialize::OutputArchive& archive) const {
  for (const auto& twin : twins_) {
    torch::serialize::OutputArchive own(archive.compilation_unit());
    twin->save(own);
    archive.write("twin_" + twin->task(), own);
  }
}

void TwinNetworks::load(torch::serialize::InputArchive& archive) {
  for (const auto& twin : twins_) {
    torch::serialize::InputArchive own;
    archive.read("twin_" + twin->task(), own);
    twin->load(own);
  }
}

}  // namespace bevfusion
