// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mutex>

#include <ATen/Context.h>
#include <ATen/core/Generator.h>
#include <torch/types.h>

namespace bevfusion {

/// The states of LibTorch's default random generators, of the CPU and, for a run on a GPU, of that.
struct GeneratorState {
  explicit GeneratorState(const torch::Device& device) : cpu(state_of(torch::kCPU)) {
    if (device.is_cuda()) {
      cuda = state_of(device);
    }
  }

  void restore(const torch::Device& device) const {
    set(torch::kCPU, cpu);
    if (device.is_cuda() && cuda.defined()) {
      set(device, cuda);
    }
  }

  torch::Tensor cpu;
  torch::Tensor cuda;  ///< undefined for a run on the CPU

 private:
  static torch::Tensor state_of(const torch::Device& device) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    return generator.get_state();
  }
  static void set(const torch::Device& device, const torch::Tensor& state) {
    at::Generator generator = at::globalContext().defaultGenerator(device);
    const std::lock_guard<std::mutex> lock(generator.mutex());
    generator.set_state(state.cpu());
  }
};

}  // namespace bevfusion
