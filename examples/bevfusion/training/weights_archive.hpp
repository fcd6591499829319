// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <torch/nn.h>
#include <torch/serialize/archive.h>

namespace bevfusion {

/// Writes a module's parameters and buffers under their names.
///
/// Not by Module::save(), where a module is an attribute of its own: TorchScript reads none that is called `class` or `if`. Names
/// with dots it takes as they are.
inline void write_weights(torch::serialize::OutputArchive& archive, const torch::nn::Module& module) {
  for (const auto& parameter : module.named_parameters()) {
    archive.write(parameter.key(), parameter.value());
  }
  for (const auto& buffer : module.named_buffers()) {
    archive.write(buffer.key(), buffer.value(), true);
  }
}

/// Reads them back, each into the tensor of its name.
/// @throws c10::Error where one is missing, or of another shape
inline void read_weights(torch::serialize::InputArchive& archive, torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  const auto read = [&archive](const std::string& name, torch::Tensor into) {
    torch::Tensor saved;
    archive.read(name, saved);
    into.copy_(saved);
  };
  for (const auto& parameter : module.named_parameters()) {
    read(parameter.key(), parameter.value());
  }
  for (const auto& buffer : module.named_buffers()) {
    read(buffer.key(), buffer.value());
  }
}

}  // namespace bevfusion
