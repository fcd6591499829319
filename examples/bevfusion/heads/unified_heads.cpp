// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/unified_heads.hpp"

#include <algorithm>
#include <memory>

#include <torch/torch.h>

#include "bevfusion/heads/box_branches.hpp"
#include "bevfusion/heads/unified_decoder.hpp"
#include "bevfusion/model/batch_norm.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

ObjectHeadImpl::ObjectHeadImpl(std::int64_t channels, std::int64_t hidden, std::int64_t classes, double score_bias) {
  for (const auto& [name, branch] : make_box_branches(channels, hidden, classes, score_bias)) {
    branches_.push_back(register_module(name, branch));
  }
}

Detections ObjectHeadImpl::forward_queries(const DecodedQueries& queries) {
  Detections out;
  out.heat_map = queries.heat_map;
  out.query_class = queries.query_class;
  out.query_score = queries.query_score;
  read_boxes(branches_, queries.objects, queries.centre, out);
  return out;
}

PatchHeadImpl::PatchHeadImpl(std::int64_t channels, std::int64_t side, std::int64_t cells, std::int64_t masks) : side_(side) {
  torch::nn::Sequential grow;
  std::int64_t width = channels;
  std::int64_t rest = cells;
  for (std::int64_t factor = 2; rest > 1; ++factor) {
    for (; rest % factor == 0; rest /= factor) {
      const std::int64_t out = std::min(width, std::max<std::int64_t>(width / 2, 16));
      grow->push_back(
          torch::nn::ConvTranspose2d(torch::nn::ConvTranspose2dOptions(width, out, factor).stride(factor).bias(false)));
      grow->push_back(BatchNorm(out));
      grow->push_back(torch::nn::ReLU());
      width = out;
    }
  }
  grow->push_back(torch::nn::Conv2d(torch::nn::Conv2dOptions(width, masks, 1)));
  grow_ = register_module("grow", grow);
}

torch::Tensor PatchHeadImpl::forward_queries(const DecodedQueries& queries) {
  const torch::Tensor& said = queries.patches;
  return grow_->forward(said.reshape({said.size(0), said.size(1), side_, side_}));
}

void register_unified_heads(Kinds& kinds) {
  kinds.detection_heads.add("unified", [](const ModelConfig& config, std::int64_t channels, const DetectionOutputs& outputs) {
    return std::make_shared<ObjectHeadImpl>(channels, config.detection.branch, outputs.classes, config.detection.score_bias);
  });
  kinds.segmentation_heads.add("unified", [](const ModelConfig& config, std::int64_t channels, std::int64_t masks) {
    const UnifiedDecoderOptions options = unified_options(config);
    return std::make_shared<PatchHeadImpl>(channels, options.side, options.patch_cells(), masks);
  });
}

}  // namespace bevfusion
