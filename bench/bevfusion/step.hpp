// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/fuller.hpp>
#include <fuller/measure/host_memory.hpp>

#include "bevfusion/losses/segmentation_loss.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/network.hpp"

namespace bench {

/// One training step of a model, calibrated as FULLER does it or plain, without the optimiser: forward, losses, backward.
class Step {
 public:
  /// @param steps  the device's way to calibrate, or null
  Step(const bevfusion::ModelConfig& config, bool calibrated, const torch::Device& device = torch::kCPU,
       const std::shared_ptr<const fuller::Engines>& steps = nullptr)
      : model_(config), calibrated_(calibrated) {
    model_->to(device);
    calibration_.modalities(fuller::ModalityGate(), model_->modalities());
    calibration_.use(steps);
  }

  /// @param batch  input and masks on the model's device
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
    const torch::Tensor detection = bevfusion::head_as<bevfusion::DetectionHead>(model_->head("detection"))
                                        .loss(model_->say_as<bevfusion::Detections>("detection", z[0]), batch.boxes,
                                              bevfusion::BoxCoder{model_->config().bev_grid()}, {})
                                        .total;
    const torch::Tensor segmentation = bevfusion::segmentation_loss(model_->say_as<torch::Tensor>("segmentation", z[1]),
                                                                    batch.masks, torch::ones_like(batch.labelled));
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
  config.parts.tasks["detection"] = tasks != "segmentation";
  config.parts.tasks["segmentation"] = tasks != "detection";
  return config;
}

/// What DMFuser's networks have to say.
inline const std::vector<std::string>& driver_tasks() {
  static const std::vector<std::string> tasks = {"waypoints", "controls",     "speed",
                                                 "red_light", "segmentation", "camera_segmentation"};
  return tasks;
}

/// DMFuser's tasks, beside detection, in a network of the size with cross-modal attention: all of them, or one. The cameras'
/// pixels alone need no LiDAR.
inline bevfusion::ModelConfig driver(const std::string& size, const std::string& only = "") {
  bevfusion::ModelConfig config = bevfusion::model_of_size(size);
  config.fuser = "cross_attention";
  config.parts.tasks["detection"] = false;
  for (const std::string& task : driver_tasks()) {
    config.parts.tasks[task] = only.empty() || only == task;
  }
  config.parts.lidar = only != "camera_segmentation";
  return config;
}

/// Bytes that tensors hold at most while a network is made and run once: parameters, activations and gradients.
template <class Run>
double peak_bytes(Run run) {
  const fuller::HostMemory memory;
  return static_cast<double>(memory.peak_of(run));
}

inline double inference_bytes(const bevfusion::ModelConfig& config, const bevfusion::Batch& batch) {
  return peak_bytes([&] {
    bevfusion::Network network(config);
    network->eval();
    const torch::NoGradGuard no_grad;
    network->forward(batch.input);
  });
}

inline double training_bytes(const bevfusion::ModelConfig& config, bool calibrated, const bevfusion::Batch& batch) {
  return peak_bytes([&] {
    Step step(config, calibrated);
    step(batch);
  });
}

}  // namespace bench
