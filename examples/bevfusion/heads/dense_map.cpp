// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/dense_map.hpp"

#include <memory>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/model/batch_norm.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

DenseMapImpl::DenseMapImpl(DenseMapOptions options) : options_(std::move(options)) {
  using torch::nn::Conv2d;
  using torch::nn::Conv2dOptions;
  const std::int64_t width = options_.inputs;
  const auto wide = [width] { return Conv2d(Conv2dOptions(width, width, 3).padding(1).bias(false)); };
  const auto relu = [] { return torch::nn::ReLU(torch::nn::ReLUOptions().inplace(true)); };
  classifier_ = register_module("classifier", torch::nn::Sequential(wide(), BatchNorm(width), relu(), wide(), BatchNorm(width),
                                                                    relu(), Conv2d(Conv2dOptions(width, options_.classes, 1))));
}

torch::Tensor DenseMapImpl::forward(const torch::Tensor& shared) {
  return classifier_->forward(resample(shared, options_.map_range, options_.mask));
}

void register_dense_map(Kinds& kinds) {
  kinds.segmentation_heads.add("dense_map", [](const ModelConfig& config, std::int64_t inputs, std::int64_t masks) {
    DenseMapOptions options;
    options.inputs = inputs;
    options.classes = masks;
    options.map_range = config.bev_range;
    options.mask = config.segmentation.mask;
    return std::make_shared<DenseMapImpl>(options);
  });
}

}  // namespace bevfusion
