// SPDX-License-Identifier: Apache-2.0
// A trunk in TorchScript, as a model that was exported from Python is. Its graph may be one fused node, in which no layer can be
// found: the weight is named.
#include <torch/script.h>

#include "11_networks/network.hpp"

namespace {

using torch::Tensor;
namespace nn = torch::nn;

struct Scripted : Network {
  torch::jit::Module trunk{"trunk"};
  nn::Linear side{16, 2}, size{16, 1};
  Tensor x = torch::randn({64, 4}), label = x.select(1, 0).gt(0).to(torch::kLong), metres = 10 * x.slice(1, 1, 2);

  Scripted() {  // torch::jit::load("trunk.pt") in a real program
    trunk.register_parameter("first", (0.5 * torch::randn({16, 4})).requires_grad_(), false);
    trunk.register_parameter("second", (0.3 * torch::randn({16, 16})).requires_grad_(), false);
    trunk.define(
        "def forward(self, x):\n  return torch.tanh(torch.matmul(torch.tanh(torch.matmul(x, self.first.t())), "
        "self.second.t()))\n");
  }
  std::vector<Tensor> losses(fuller::Calibration& calibration) override {
    const Tensor z = trunk.forward({x}).toTensor();
    const auto [of_side, of_size] = calibration.fork<2>(z, {trunk.attr("second").toTensor()});
    return {torch::cross_entropy_loss(side(of_side), label), torch::mse_loss(size(of_size), metres)};
  }
  std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const Tensor& parameter : trunk.parameters()) {
      all.push_back(parameter);
    }
    for (const std::vector<Tensor>& some : {side->parameters(), size->parameters()}) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
};

}  // namespace

std::unique_ptr<Network> make_scripted() {
  auto net = std::make_unique<Scripted>();
  net->name = "TorchScript trunk";
  net->how = "fork(z, {its weight})";
  net->tasks = {"side", "size"};
  return net;
}
