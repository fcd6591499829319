// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/camera/neck.hpp"

#include <string>

#include <torch/torch.h>

namespace bevfusion {

NeckImpl::NeckImpl(const std::vector<std::int64_t>& in, std::int64_t out) {
  std::int64_t above = in.back();
  for (std::size_t level = in.size() - 1; level-- > 0;) {
    const std::string name = "level" + std::to_string(level);
    levels_.push_back({register_module(name + "_mix", ConvBlock(in[level] + above, out, ConvOptions{1})),
                       register_module(name + "_smooth", ConvBlock(out, out, ConvOptions{3}))});
    above = out;
  }
}

torch::Tensor NeckImpl::forward(const std::vector<torch::Tensor>& maps) {
  torch::Tensor map = maps.back();
  for (std::size_t step = 0; step < levels_.size(); ++step) {
    const torch::Tensor& finer = maps[maps.size() - 2 - step];
    const torch::Tensor up =
        torch::nn::functional::interpolate(map, torch::nn::functional::InterpolateFuncOptions()
                                                    .size(std::vector<std::int64_t>{finer.size(2), finer.size(3)})
                                                    .mode(torch::kBilinear)
                                                    .align_corners(false));
    map = levels_[step].smooth->forward(levels_[step].mix->forward(torch::cat({finer, up}, 1)));
  }
  return map;
}

}  // namespace bevfusion
