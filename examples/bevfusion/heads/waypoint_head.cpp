// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/heads/waypoint_head.hpp"

#include <algorithm>
#include <vector>

#include <torch/torch.h>

namespace bevfusion {

namespace {

constexpr double unit = 10;  // m

}  // namespace

WaypointHeadImpl::WaypointHeadImpl(const WaypointHeadOptions& options) : options_(options) {
  const std::int64_t told = options.hidden / 4;  // of the state that begins with what the car measured
  const std::int64_t width = std::min<std::int64_t>(options.inputs, options.hidden);
  const std::int64_t pooled = width * options.squares * options.squares;
  ConvOptions halving;
  halving.stride = 2;
  reduce_ = register_module("reduce", ConvBlock(options.inputs, width, halving));
  begin_ = register_module("begin", torch::nn::Linear(pooled, options.hidden - told));
  measure_in_ = register_module("measure_in", torch::nn::Linear(options.measured, told));
  measure_out_ = register_module("measure_out", torch::nn::Linear(told, told));
  gate_ = register_module("gate", torch::nn::Linear(pooled, options.hidden));
  cell_ = register_module("cell", torch::nn::GRUCell(4, options.hidden));
  step_ = register_module("step", torch::nn::Linear(2 * options.hidden, 2));
}

WaypointChain WaypointHeadImpl::forward(const torch::Tensor& shared, const torch::Tensor& measured) {
  const torch::Tensor known = measured.defined()
                                  ? measured.to(shared.device(), torch::kFloat)
                                  : torch::zeros({shared.size(0), options_.measured}, shared.options().dtype(torch::kFloat));
  WaypointChain out;
  out.pooled =
      torch::adaptive_avg_pool2d(reduce_->forward(shared).to(torch::kFloat), {options_.squares, options_.squares}).flatten(1);
  const torch::Tensor told = measure_out_->forward(measure_in_->forward(known).relu()).relu();
  torch::Tensor state = torch::cat({begin_->forward(out.pooled).relu(), told}, 1).to(torch::kFloat);
  const torch::Tensor gate = gate_->forward(out.pooled).sigmoid().to(torch::kFloat);
  const torch::Tensor route = known.narrow(1, 4, 2);
  torch::Tensor place = torch::zeros({shared.size(0), 2}, known.options());
  std::vector<torch::Tensor> places;
  for (std::int64_t k = 0; k < options_.waypoints; ++k) {
    state = cell_->forward(torch::cat({place, route}, 1), state).to(torch::kFloat);
    place = place + step_->forward(torch::cat({state, gate}, 1)).to(torch::kFloat);
    places.push_back(place);
  }
  out.waypoints = unit * torch::stack(places, 1);
  out.state = state;
  return out;
}

}  // namespace bevfusion
