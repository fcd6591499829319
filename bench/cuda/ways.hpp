// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/host_rules.hpp>
#include <fuller/engine/steps.hpp>

#if defined(FULLER_DEVICE_KERNELS)
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#endif

namespace bench {

/// How a calibration takes its steps on a device.
struct Way {
  std::string name;
  std::shared_ptr<const fuller::Engines> steps;  ///< null: as ever, waiting
};

/// Those that this program and machine have. On the CPU, where nothing needs to be waited for, the rule is called at once.
inline std::vector<Way> ways_on(const at::Device& device) {
  std::vector<Way> ways{{"waiting", nullptr}};
  if (device.is_cpu()) {
    const auto at_once = [](const c10::Stream&, void (*function)(void*), void* argument) {
      function(argument);
      return true;
    };
    ways.push_back({"host_rule", fuller::host_rules_on(device, at_once)});
    return ways;
  }
  ways.push_back({"host_rule", fuller::host_rules_on(device)});
#if defined(FULLER_DEVICE_KERNELS)
  ways.push_back({"kernels", fuller::steps_on(device)});
#endif
  return ways;
}

#if defined(FULLER_DEVICE_KERNELS)
/// A step as a CUDA graph: the same work, launched at once. It must not wait for the device.
inline std::function<void()> captured(const std::function<void()>& step) {
  const c10::cuda::CUDAStream stream = c10::cuda::getStreamFromPool();
  const c10::cuda::CUDAStreamGuard guard(stream);
  for (int k = 0; k < 3; ++k) {
    step();
  }
  stream.synchronize();
  const auto graph = std::make_shared<at::cuda::CUDAGraph>();
  graph->capture_begin();
  step();
  graph->capture_end();
  return [graph] { graph->replay(); };
}
#endif

}  // namespace bench
