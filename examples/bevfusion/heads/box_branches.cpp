// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/box_branches.hpp"

#include <torch/torch.h>

#include "bevfusion/model/batch_norm.hpp"

namespace bevfusion {

std::vector<std::pair<std::string, torch::nn::Sequential>> make_box_branches(std::int64_t channels, std::int64_t hidden,
                                                                             std::int64_t classes, double score_bias) {
  using torch::nn::Conv1d;
  using torch::nn::Conv1dOptions;
  const std::pair<const char*, std::int64_t> numbers[] = {{"centre", 2},  {"height", 1},   {"size", 3},
                                                          {"heading", 2}, {"velocity", 2}, {"class", classes}};
  std::vector<std::pair<std::string, torch::nn::Sequential>> branches;
  for (const auto& [name, outputs] : numbers) {
    branches.emplace_back(name, torch::nn::Sequential(Conv1d(Conv1dOptions(channels, hidden, 1).bias(false)), BatchNorm(hidden),
                                                      torch::nn::ReLU(), Conv1d(Conv1dOptions(hidden, outputs, 1))));
  }
  torch::nn::init::constant_(branches.back().second[3]->as<Conv1d>()->bias, score_bias);
  return branches;
}

void read_boxes(std::vector<torch::nn::Sequential>& branches, const torch::Tensor& decoded, const torch::Tensor& centre,
                Detections& out) {
  out.centre = branches.at(0)->forward(decoded) + centre;
  out.height = branches.at(1)->forward(decoded);
  out.size = branches.at(2)->forward(decoded);
  out.heading = branches.at(3)->forward(decoded);
  out.velocity = branches.at(4)->forward(decoded);
  out.class_logits = branches.at(5)->forward(decoded);
}

}  // namespace bevfusion
