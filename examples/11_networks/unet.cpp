// SPDX-License-Identifier: Apache-2.0
// A U-Net whose encoder is shared: the deepest features and the skip connection are one shared representation of two levels, and
// each task has a decoder of its own that reads both.
#include "11_networks/network.hpp"

namespace {

using torch::Tensor;
using torch::nn::Conv2d;
using torch::nn::Conv2dOptions;

struct Decoder : torch::nn::Module {
  Conv2d up{register_module("up", Conv2d(Conv2dOptions(8, 4, 3).padding(1)))};
  Conv2d out;

  explicit Decoder(std::int64_t channels) : out(register_module("out", Conv2d(Conv2dOptions(8, channels, 3).padding(1)))) {}
  Tensor forward(const Tensor& deep, const Tensor& skip) {
    const Tensor large = torch::upsample_nearest2d(torch::relu(up(deep)), skip.sizes().slice(2));
    return out(torch::cat({large, skip}, 1));
  }
};

struct UNet : Network {
  Conv2d first{Conv2dOptions(1, 4, 3).padding(1)};
  Conv2d second{Conv2dOptions(4, 8, 3).padding(1)};
  Decoder of_mask{2}, of_depth{1};
  Tensor image = torch::randn({4, 1, 16, 16});
  Tensor mask = torch::avg_pool2d(image, 3, 1, 1).gt(0).squeeze(1).to(torch::kLong);
  Tensor depth = 20 * torch::avg_pool2d(image, 3, 1, 1);  // about the mean, in metres

  std::vector<Tensor> losses(fuller::Calibration& calibration) override {
    const Tensor skip = torch::relu(first(image));
    const Tensor deep = torch::relu(second(torch::max_pool2d(skip, 2)));
    const auto levels = calibration.fork<2>({deep, skip});
    return {torch::cross_entropy_loss(of_mask.forward(levels[0][0], levels[0][1]), mask),
            torch::mse_loss(of_depth.forward(levels[1][0], levels[1][1]), depth)};
  }
  std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const std::vector<Tensor>& some :
         {first->parameters(), second->parameters(), of_mask.parameters(), of_depth.parameters()}) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
};

}  // namespace

std::unique_ptr<Network> make_unet() {
  auto net = std::make_unique<UNet>();
  net->name = "U-Net with a skip";
  net->how = "fork({deep, skip})";
  net->tasks = {"mask", "depth"};
  return net;
}
