// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/swin_backbone.hpp"

#include <memory>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

SwinBackbone::SwinBackbone(const SwinOptions& options, std::int64_t out) : channels_(out), embedding_(options.embedding) {
  const std::int64_t width = options.embedding;
  swin_ = register_module("swin", Swin(options));
  neck_ = register_module("neck", Neck(std::vector<std::int64_t>{2 * width, 4 * width, 8 * width}, out));
}

torch::Tensor SwinBackbone::forward(const torch::Tensor& images) { return neck_->forward(swin_->forward(images)); }

std::vector<torch::Tensor> SwinBackbone::forward_levels(const torch::Tensor& images) {
  torch::Tensor first;
  const torch::Tensor map = neck_->forward(swin_->forward(images, &first));
  return {first, map};
}

void register_swin_backbone(Kinds& kinds) {
  kinds.picture_multiples["swin"] = 32;  // patches of 4, halved three times
  kinds.image_backbones.add("swin",
                            [](const ModelConfig& config) { return std::make_shared<SwinBackbone>(config.swin, config.neck); });
}

}  // namespace bevfusion
