// SPDX-License-Identifier: Apache-2.0
// A detector in small, one box a picture: its one head gives class and box, so both losses share the head too, and weights are
// chosen at the sum.
#include <map>

#include "11_networks/network.hpp"

namespace {

using torch::Tensor;
namespace nn = torch::nn;

struct Detector : Network {
  nn::Conv2d first{nn::Conv2dOptions(1, 8, 3).padding(1).stride(2)}, second{nn::Conv2dOptions(8, 8, 3).padding(1).stride(2)};
  nn::Linear head{8 * 16, 2 + 4};
  Tensor image = torch::zeros({64, 1, 16, 16}), box = torch::zeros({64, 4}), label = torch::zeros({64}, torch::kLong);

  /// Wide or tall bright boxes, in pixels: centre and size.
  Detector() {
    for (std::int64_t k = 0; k < 64; ++k) {
      const bool tall = k % 2 == 1;
      const std::int64_t width = tall ? 2 : 6, height = tall ? 6 : 2;
      const auto x = torch::randint(16 - width, {1}).item<std::int64_t>(),
                 y = torch::randint(16 - height, {1}).item<std::int64_t>();
      image[k][0].slice(0, y, y + height).slice(1, x, x + width).fill_(1);
      box[k] = torch::tensor({static_cast<double>(x + width / 2), static_cast<double>(y + height / 2), static_cast<double>(width),
                              static_cast<double>(height)});
      label[k] = tall ? 1 : 0;
    }
  }

  /// As detectors return them: a dictionary of losses.
  std::map<std::string, Tensor> forward() {
    const Tensor out = head(torch::relu(second(torch::relu(first(image)))).flatten(1));
    return {{"class", torch::cross_entropy_loss(out.slice(1, 0, 2), label)}, {"box", torch::mse_loss(out.slice(1, 2, 6), box)}};
  }
  std::vector<Tensor> losses(fuller::Calibration& /*calibration*/) override {
    const auto named = forward();  // calibration.sum(forward()) would do; the table wants them in order
    return {named.at("class"), named.at("box")};
  }
  std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const std::vector<Tensor>& some : {first->parameters(), second->parameters(), head->parameters()}) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
};

}  // namespace

std::unique_ptr<Network> make_detector() {
  auto net = std::make_unique<Detector>();
  net->name = "detector, one head";
  net->how = "all_shared, no fork";
  net->tasks = {"class", "box"};
  net->options.surface = fuller::Surface::all_shared;
  return net;
}
