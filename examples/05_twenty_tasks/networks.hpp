// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>
#include <fuller/fuller.hpp>

#include "router.hpp"
#include "tasks.hpp"

namespace example {

/// What a network is made for.
struct NetworkShape {
  std::int64_t planes = 1, side = 28;  ///< of a picture
  std::int64_t outputs = 1;            ///< of a task: 1 for yes or no, else one for each answer
  std::int64_t channels = 16;          ///< of the routing network's convolutions
  std::int64_t units = 48;             ///< of its routed layers
};

/// One network for twenty tasks.
struct TwentyTasksNet : torch::nn::Module {
  /// Of each task with pictures in the batch, one row a picture; undefined for the others. Under NoGradGuard `calibration` does
  /// nothing.
  virtual std::vector<torch::Tensor> outputs(const TaskBatch& batch, fuller::Calibration& calibration) = 0;
  /// What the network learns from how its last outputs() did; `solved` has a bool for each row of a task, one after the other.
  virtual void hear(const std::vector<torch::Tensor>& solved) { static_cast<void>(solved); }

 protected:
  void make_heads(std::int64_t width, std::int64_t outputs) {
    for (int task = 0; task < tasks; ++task) {
      heads_.push_back(register_module("head" + std::to_string(task), torch::nn::Linear(width, outputs)));
    }
  }
  std::vector<torch::nn::Linear> heads_;
};

/// A small trunk and an output for each task.
struct SmallTrunkImpl : TwentyTasksNet {
  explicit SmallTrunkImpl(const NetworkShape& shape)
      : conv1_(register_module("conv1", torch::nn::Conv2d(torch::nn::Conv2dOptions(shape.planes, 8, 5).stride(2)))),
        conv2_(register_module("conv2", torch::nn::Conv2d(torch::nn::Conv2dOptions(8, 16, 5).stride(2)))) {
    const std::int64_t side = ((shape.side - 3) / 2 - 3) / 2;
    shared_ = register_module("shared", torch::nn::Linear(16 * side * side, 32));
    make_heads(32, shape.outputs);
  }

  std::vector<torch::Tensor> outputs(const TaskBatch& batch, fuller::Calibration& calibration) override {
    const auto z = torch::relu(shared_(torch::relu(conv2_(torch::relu(conv1_(batch.images)))).flatten(1)));
    const auto forked = calibration.fork(z);
    std::vector<torch::Tensor> all(tasks);
    for (std::size_t task = 0; task < tasks; ++task) {
      if (batch.rows[task].size(0) > 0) {
        all[task] = heads_[task](forked[task].index_select(0, batch.rows[task]));
      }
    }
    return all;
  }

 private:
  torch::nn::Conv2d conv1_, conv2_;
  torch::nn::Linear shared_{nullptr};
};
TORCH_MODULE(SmallTrunk);

/// The routing network of Rosenbaum et al., "all fully connected layers routed", with the sizes of their code: four convolutions
/// of 3 x 3, each with ReLU and max pooling, batch normalisation, then layers of as many function blocks as there are tasks, from
/// which each sample takes the one that its task's agent draws (`Router`). Reading of wPCGrad's "with one output head per task":
/// two routed layers, and in the place of the third, from which tasks may share their outputs, a head for each task.
///
/// Blocks are shared by whichever tasks choose them, and by the projections of `Surface::all_shared`, without fork().
struct RoutingNetworkImpl : TwentyTasksNet {
  explicit RoutingNetworkImpl(const NetworkShape& shape) : router_(tasks, 2, tasks) {
    for (int layer = 0; layer < 4; ++layer) {
      convolutions_->push_back(
          torch::nn::Conv2d(torch::nn::Conv2dOptions(layer == 0 ? shape.planes : shape.channels, shape.channels, 3).padding(1)));
      convolutions_->push_back(torch::nn::ReLU());
      convolutions_->push_back(torch::nn::MaxPool2d(2));
    }
    convolutions_->push_back(torch::nn::BatchNorm2d(shape.channels));
    register_module("convolutions", convolutions_);
    const std::int64_t side = shape.side / 16;
    for (std::size_t layer = 0; layer < router_.layers(); ++layer) {
      blocks_.emplace_back();
      for (int block = 0; block < tasks; ++block) {
        blocks_.back().push_back(
            register_module("block" + std::to_string(layer) + "_" + std::to_string(block),
                            torch::nn::Linear(layer == 0 ? shape.channels * side * side : shape.units, shape.units)));
      }
    }
    make_heads(shape.units, shape.outputs);
  }

  std::vector<torch::Tensor> outputs(const TaskBatch& batch, fuller::Calibration& /*calibration*/) override {
    const auto z = convolutions_->forward(batch.images).flatten(1);
    std::vector<torch::Tensor> all(tasks);
    paths_.assign(tasks, {});
    for (std::size_t task = 0; task < tasks; ++task) {
      const auto count = static_cast<std::size_t>(batch.rows[task].size(0));
      if (count > 0) {
        auto x = z.index_select(0, batch.rows[task]);
        paths_[task].assign(count, {});
        for (std::size_t layer = 0; layer < router_.layers(); ++layer) {
          x = torch::relu(routed(layer, x, choose(task, layer, count)));
        }
        all[task] = heads_[task](x);
      }
    }
    return all;
  }

  void hear(const std::vector<torch::Tensor>& solved) override {
    for (std::size_t task = 0; task < tasks; ++task) {
      for (std::size_t i = 0; i < paths_[task].size(); ++i) {
        router_.reward(task, paths_[task][i], solved[task].data_ptr<bool>()[i]);
      }
    }
    router_.update();
  }

 private:
  /// The samples that go to each block: drawn by the task's agent in training, all to the likeliest else.
  std::vector<std::vector<std::int64_t>> choose(std::size_t task, std::size_t layer, std::size_t count) {
    std::vector<std::vector<std::int64_t>> of_block(tasks);
    const auto draws = is_training() ? torch::rand({static_cast<std::int64_t>(count)}, draws_, torch::kFloat64) : torch::Tensor();
    for (std::size_t i = 0; i < count; ++i) {
      const std::size_t block =
          is_training() ? router_.choose(task, layer, draws.data_ptr<double>()[i]) : router_.best(task, layer);
      of_block[block].push_back(static_cast<std::int64_t>(i));
      paths_[task][i].push_back(block);
    }
    return of_block;
  }

  torch::Tensor routed(std::size_t layer, const torch::Tensor& x, const std::vector<std::vector<std::int64_t>>& of_block) {
    std::vector<torch::Tensor> parts;
    std::vector<std::int64_t> order;
    for (std::size_t block = 0; block < of_block.size(); ++block) {
      if (!of_block[block].empty()) {
        parts.push_back(blocks_[layer][block](x.index_select(0, torch::tensor(of_block[block]))));
        order.insert(order.end(), of_block[block].begin(), of_block[block].end());
      }
    }
    return torch::cat(parts).index_select(0, torch::tensor(order).argsort());
  }

  torch::nn::Sequential convolutions_;
  std::vector<std::vector<torch::nn::Linear>> blocks_;
  Router router_;
  /// Seeded from the generator that the weights are drawn from.
  at::Generator draws_ = at::detail::createCPUGenerator(
      static_cast<std::uint64_t>(torch::randint(1 << 30, {1}, torch::kInt64).item<std::int64_t>()));
  std::vector<std::vector<std::vector<std::size_t>>> paths_;  ///< of the last outputs(): of each task, of each sample
};
TORCH_MODULE(RoutingNetwork);

}  // namespace example
