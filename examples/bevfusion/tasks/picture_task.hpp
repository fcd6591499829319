// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <vector>

#include "bevfusion/camera/image_backbone.hpp"
#include "bevfusion/tasks/task.hpp"

namespace bevfusion {

/// A task that looks at the pictures: its head reads the camera branch's maps, upstream of lift, splat and fusion, and not the
/// shared map. It shares the image backbone alone with the others, and needs model.parts.camera.
class PictureTask : public Task {
 public:
  using Task::Task;

  /// @param levels  of the image backbone
  virtual std::shared_ptr<torch::nn::Module> make_picture_head(const ModelConfig& config,
                                                               const std::vector<ImageLevel>& levels) const = 0;
  /// What the head says of the maps of SharedFeatures::pictures.
  virtual std::any forward_pictures(torch::nn::Module& head, const std::vector<torch::Tensor>& pictures,
                                    const ModelConfig& config) const = 0;

  void check(const RunConfig& config, const Kinds& kinds) const override;
  std::shared_ptr<torch::nn::Module> make_head(const ModelConfig&, const Kinds&, std::int64_t) const final {
    throw std::logic_error("task " + name() + " has no head on the shared map");
  }
  std::any forward(torch::nn::Module&, const torch::Tensor&, const ModelConfig&, const LabelSets&) const final {
    throw std::logic_error("task " + name() + " does not read the shared map");
  }
};

/// The task as one that looks at pictures, nullptr where it reads the shared map.
inline const PictureTask* as_picture_task(const Task& task) { return dynamic_cast<const PictureTask*>(&task); }

}  // namespace bevfusion
