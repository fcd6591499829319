// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/control_head.hpp"

#include <vector>

#include <torch/torch.h>

namespace bevfusion {

namespace {

torch::nn::Sequential three_numbers(std::int64_t from, std::int64_t hidden) {
  return torch::nn::Sequential(torch::nn::Linear(from, hidden), torch::nn::ReLU(), torch::nn::Linear(hidden, 3));
}

}  // namespace

ControlHeadImpl::ControlHeadImpl(const WaypointHeadOptions& options) : options_(options) {
  way_ = register_module("way", WaypointHead(options));
  gate_ = register_module("gate", torch::nn::Linear(way_->pooled_width(), options.hidden));
  first_ = register_module("first", three_numbers(options.hidden, options.hidden / 2));
  cell_ = register_module("cell", torch::nn::GRUCell(5, options.hidden));
  next_ = register_module("next", three_numbers(2 * options.hidden, options.hidden / 2));
}

ControlChain ControlHeadImpl::forward(const torch::Tensor& shared, const torch::Tensor& measured) {
  ControlChain out;
  out.way = way_->forward(shared, measured);
  const torch::Tensor route = measured.defined() ? measured.to(shared.device(), torch::kFloat).narrow(1, 4, 2)
                                                 : torch::zeros({shared.size(0), 2}, out.way.state.options());
  const torch::Tensor gate = gate_->forward(out.way.pooled).sigmoid().to(torch::kFloat);
  torch::Tensor state = out.way.state;
  torch::Tensor controls = first_->forward(state + gate).to(torch::kFloat);
  std::vector<torch::Tensor> all{controls};
  for (std::int64_t k = 0; k < options_.waypoints; ++k) {
    state = cell_->forward(torch::cat({controls.sigmoid(), route}, 1), state).to(torch::kFloat);
    controls = controls + next_->forward(torch::cat({state, gate}, 1)).to(torch::kFloat);
    all.push_back(controls);
  }
  out.state = state;
  const torch::Tensor share = torch::stack(all, 1).sigmoid();
  out.controls = torch::cat({2 * share.narrow(2, 0, 1) - 1, share.narrow(2, 1, 2)}, 2);
  return out;
}

}  // namespace bevfusion
