// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

/// A network of two tasks on data of its own, as a rung of this example has it: what each file of this folder shows is losses().
struct Network {
  virtual ~Network() = default;
  /// The losses of one forward pass, through the calibration's fork() where the network has one.
  virtual std::vector<torch::Tensor> losses(fuller::Calibration& calibration) = 0;
  virtual std::vector<torch::Tensor> parameters() const = 0;

  std::string name, how;
  std::vector<std::string> tasks;
  fuller::CalibrationOptions options;
};

std::unique_ptr<Network> make_unet();
std::unique_ptr<Network> make_transformer();
std::unique_ptr<Network> make_lstm();
std::unique_ptr<Network> make_actor_critic();
std::unique_ptr<Network> make_detector();
std::unique_ptr<Network> make_scripted();
