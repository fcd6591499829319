// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <memory>

#include <torch/torch.h>

#include "bevfusion/camera/pyramid_backbone.hpp"
#include "bevfusion/camera/swin.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

void register_swin_backbone(Kinds& kinds) {
  kinds.picture_multiples["swin"] = 32;  // patches of 4, halved three times
  kinds.image_backbones.add("swin", [](const ModelConfig& config) {
    const std::int64_t width = config.swin.embedding;
    const std::array<std::int64_t, 4> channels{width, 2 * width, 4 * width, 8 * width};
    return std::make_shared<PyramidBackbone<Swin>>("swin", Swin(config.swin), channels, config.neck);
  });
}

}  // namespace bevfusion
