// SPDX-License-Identifier: Apache-2.0
// What the documents' blocks of C++ take for granted: a trainer's network, losses and data. Declarations alone: the blocks are
// compiled, not run.
#pragma once

#include <iostream>
#include <memory>
#include <optional>
#include <vector>

#include <torch/torch.h>

#include <fuller/engine/kernels.hpp>
#include <fuller/engine/steps.hpp>
#include <fuller/fuller.hpp>

#if !defined(FULLER_DEVICE_KERNELS)
// What kernels.hpp and steps.hpp declare too in a program that the kernels are linked into, where LibTorch has CUDA.
namespace fuller {
DeviceKernels device_kernels();
std::shared_ptr<const Engines> steps_on(at::Device device);
}  // namespace fuller
#endif

namespace context {

using torch::Tensor;

/// A module that is read as documents read theirs: `part(x)`, `part->weight`, `part->parameters()`.
struct Part {
  Tensor weight;
  template <class... Inputs>
  Tensor operator()(const Inputs&...) const;
  Part* operator->();
  std::vector<Tensor> parameters() const;
};

extern Part trunk, fuse, points, images, lidar, camera, of_lidar, of_camera, up, up_a, up_b, lidar_head, camera_head;
extern Tensor x, y, z_det, z_seg, a, b, weight, p_lidar, p_camera, g_det, g_seg, dz_det, dz_seg;
extern torch::optim::SGD optimizer;
extern fuller::Calibration calibration;
extern int step;
extern std::optional<fuller::Snapshot> snapshot;

Tensor det_loss(const Tensor& z);
Tensor seg_loss(const Tensor& z);
Tensor lidar_loss(const Tensor& z);
Tensor camera_loss(const Tensor& z);
void log(const fuller::Diagnostics& seen);

extern struct Trainer {
  void plain_step();
  void calibrated_step(fuller::Calibration& calibration);
} trainer;

extern std::vector<Tensor> losses, shared;
Tensor flatten(const std::vector<Tensor>& gradients);
Tensor project(const std::vector<Tensor>& task_gradients);
void copy_into_grad(const Tensor& combined, const std::vector<Tensor>& parameters);

}  // namespace context
