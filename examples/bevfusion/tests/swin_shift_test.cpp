// SPDX-License-Identifier: Apache-2.0
// Swin's shifted windows on maps that a window covers, against torchvision's values (reference/torchvision_swin.py).
#include <fstream>
#include <vector>

#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "bevfusion/camera/swin.hpp"
#include "support/catch.hpp"

namespace {

torch::Tensor sines(const torch::IntArrayRef shape, double start) {
  std::int64_t count = 1;
  for (const std::int64_t side : shape) {
    count *= side;
  }
  return torch::sin(start + 0.37 * torch::arange(count, torch::kDouble)).reshape(shape);
}

TEST_CASE("a shifted block gives what torchvision's gives, on maps smaller than a window as well", "[bevfusion][model][swin]") {
  std::ifstream in(FULLER_SOURCE_DIR "/examples/bevfusion/tests/reference/torchvision_swin.json");
  const auto json = nlohmann::json::parse(in);
  bevfusion::SwinOptions options;
  options.window = json.at("window");
  options.mlp_ratio = json.at("mlp_ratio");
  bevfusion::SwinBlock block(json.at("channels"), json.at("heads"), options, /*shifted=*/true, /*drop_path=*/0.0);
  block->eval();
  const torch::NoGradGuard no_grad;
  const std::vector<std::string> order = {"norm1.weight",
                                          "norm1.bias",
                                          "attention.qkv.weight",
                                          "attention.qkv.bias",
                                          "attention.project.weight",
                                          "attention.project.bias",
                                          "attention.bias_table",
                                          "norm2.weight",
                                          "norm2.bias",
                                          "widen.weight",
                                          "widen.bias",
                                          "narrow.weight",
                                          "narrow.bias"};
  auto parameters = block->named_parameters();
  REQUIRE(parameters.size() == order.size());
  for (std::size_t number = 0; number < order.size(); ++number) {
    torch::Tensor& parameter = parameters[order[number]];
    parameter.set_data(sines(parameter.sizes(), 1 + 10.0 * static_cast<double>(number)));
  }
  REQUIRE(json.at("cases").size() == 5);
  for (const auto& one : json.at("cases")) {
    const std::int64_t height = one.at("height");
    const std::int64_t width = one.at("width");
    INFO(height << " x " << width);
    const torch::Tensor out = block->forward(sines({1, height, width, json.at("channels").get<std::int64_t>()}, 0.5));
    const torch::Tensor expected = torch::tensor(one.at("second_channel").get<std::vector<double>>(), torch::kDouble);
    CHECK((out.select(3, 1).flatten() - expected).abs().max().item<double>() < 1e-12);
  }
}

}  // namespace
