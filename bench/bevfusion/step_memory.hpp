// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

#include <torch/torch.h>

#include <fuller/fuller.hpp>

#include "bevfusion/losses/segmentation_loss.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/network.hpp"

namespace bench {

/// One training step of a model, calibrated as FULLER does it or plain, without the optimiser: forward, losses, backward.
class Step {
 public:
  Step(const bevfusion::ModelConfig& config, bool calibrated) : model_(config), calibrated_(calibrated) {
    calibration_.modalities(fuller::ModalityGate(), model_->modalities());
  }

  void operator()(const bevfusion::Batch& batch) {
    model_->zero_grad();
    auto maps = model_->branches(batch.input);
    if (calibrated_) {
      maps = calibration_.gate(std::move(maps), model_->fusion_weight());
    }
    const torch::Tensor shared = model_->fuse(maps);
    std::vector<torch::Tensor> z = {shared, shared};
    if (calibrated_) {
      z = calibration_.fork(shared, {model_->last_shared()});
    }
    const torch::Tensor detection = model_->detection_loss(model_->detect(z[0]), batch.boxes).total;
    const torch::Tensor segmentation =
        bevfusion::segmentation_loss(model_->segment(z[1]), batch.masks, torch::ones_like(batch.labelled));
    if (calibrated_) {
      calibration_.sum({detection, segmentation}).backward();
    } else {
      (detection + segmentation).backward();
    }
  }

 private:
  bevfusion::BevFusion model_;
  bool calibrated_;
  fuller::Calibration calibration_{fuller::IMTL_G(), {"detection", "segmentation"}};
};

/// The config of FULLER's Table 5: the size's model with both tasks, or one of them.
inline bevfusion::ModelConfig with_tasks(const std::string& size, const std::string& tasks) {
  bevfusion::ModelConfig config = bevfusion::model_of_size(size);
  config.parts.detection = tasks != "segmentation";
  config.parts.segmentation = tasks != "detection";
  return config;
}

inline double peak_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) * 1024;
}

inline void save_input(const bevfusion::Batch& batch, const std::filesystem::path& file) {
  const bevfusion::CameraGeometry& geometry = batch.input.geometry;
  torch::save(
      std::vector<torch::Tensor>{batch.input.clouds.at(0), batch.input.images, geometry.intrinsics, geometry.camera_to_lidar,
                                 geometry.image_augmentation, geometry.lidar_augmentation, batch.masks, batch.labelled},
      file.string());
}

inline bevfusion::Batch load_input(const std::string& file) {
  std::vector<torch::Tensor> tensors;
  torch::load(tensors, file);
  bevfusion::Batch batch;
  batch.input = {{tensors.at(0)}, tensors.at(1), {tensors.at(2), tensors.at(3), tensors.at(4), tensors.at(5)}};
  batch.masks = tensors.at(6);
  batch.labelled = tensors.at(7);
  batch.boxes.resize(1);
  return batch;
}

/// What a process of its own does and says on its output: the bytes that a network and its run added to the process at their
/// peak.
///   --memory=SIZE,TASKS,RUN,INPUT     RUN: inference, plain or calibrated
inline int memory_process(const std::string& arguments) {
  std::istringstream words(arguments);
  std::string size, tasks, run, input;
  std::getline(words, size, ',');
  std::getline(words, tasks, ',');
  std::getline(words, run, ',');
  std::getline(words, input);
  const bevfusion::Batch batch = load_input(input);
  const bevfusion::ModelConfig config = with_tasks(size, tasks);
  const double before = peak_bytes();
  if (run == "inference") {
    bevfusion::Network network(config);
    network->eval();
    const torch::NoGradGuard no_grad;
    network->forward(batch.input);
  } else {
    Step step(config, run == "calibrated");
    step(batch);
  }
  std::cout << peak_bytes() - before << '\n';
  return 0;
}

/// Runs memory_process() in a new process; bytes.
inline double measured_memory(const std::string& size, const std::string& tasks, const std::string& run,
                              const bevfusion::Batch& batch) {
  const std::filesystem::path input =
      std::filesystem::temp_directory_path() / ("bevfusion-bench-input-" + std::to_string(getpid()));
  save_input(batch, input);
  const std::string command = "'" + std::filesystem::read_symlink("/proc/self/exe").string() + "' --memory=" + size + ',' +
                              tasks + ',' + run + ",'" + input.string() + "'";
  FILE* const process = popen(command.c_str(), "r");
  if (process == nullptr) {
    throw std::runtime_error("cannot start " + command);
  }
  double bytes = 0;
  const int read = std::fscanf(process, "%lf", &bytes);
  const int status = pclose(process);
  std::filesystem::remove(input);
  if (read != 1 || status != 0) {
    throw std::runtime_error("failed: " + command);
  }
  return bytes;
}

}  // namespace bench
