// SPDX-License-Identifier: Apache-2.0
#include <memory>

#include <torch/torch.h>

#include "bevfusion/camera/pyramid_backbone.hpp"
#include "bevfusion/camera/resnet50.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

void register_resnet50_backbone(Kinds& kinds) {
  kinds.image_backbones.add("resnet50", [](const ModelConfig& config) {
    return std::make_shared<PyramidBackbone<ResNet50>>("resnet50", ResNet50(), ResNet50Impl::channels, config.neck);
  });
}

}  // namespace bevfusion
