// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <stdexcept>
#include <string>

#include <torch/torch.h>

#include "bevfusion/camera/efficientnet_b0.hpp"
#include "bevfusion/camera/pyramid_backbone.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

void register_efficientnet_b0_backbone(Kinds& kinds) {
  kinds.image_backbones.add("efficientnet_b0", [](const ModelConfig& config) {
    const std::string name = "efficientnet_b0.drop_path";
    const double drop_path = number_of(config, name, EfficientNetB0Impl::torchvision_drop_path);
    if (!(drop_path >= 0 && drop_path < 1)) {
      throw std::invalid_argument("model.numbers: " + name + " is " + std::to_string(drop_path) +
                                  "; it may be 0 or more, below 1");
    }
    return std::make_shared<PyramidBackbone<EfficientNetB0>>("efficientnet_b0", EfficientNetB0(drop_path),
                                                             EfficientNetB0Impl::channels, config.neck);
  });
}

}  // namespace bevfusion
