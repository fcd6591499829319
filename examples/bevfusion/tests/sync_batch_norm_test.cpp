// SPDX-License-Identifier: Apache-2.0
// Batch norms that see the batch of all ranks, here threads: forward, in every pass of a calibrated backward, and on a rank that
// has no sample.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <fuller/distributed/ranks.hpp>
#include <fuller/fuller.hpp>

#include "bevfusion/model/batch_norm.hpp"
#include "bevfusion/model/blocks.hpp"
#include "support/catch.hpp"
#include "support/meeting.hpp"
#include "support/rank_threads.hpp"

namespace sync_batch_norm_test {

using fuller::Surface;
using fuller::testing::in_threads;
using fuller::testing::Meeting;
using fuller::testing::Tensor;
using fuller::testing::Tensors;

fuller::Ranks ranks_at(Meeting& meeting, int rank, int size, int* reductions = nullptr) {
  fuller::Ranks ranks;
  ranks.average = [&meeting, reductions](Tensors& tensors) {
    meeting.average(tensors);
    if (reductions != nullptr) {
      ++*reductions;
    }
  };
  ranks.count = size;
  ranks.rank = rank;
  return ranks;
}

std::mutex one_at_a_time;  // the generator belongs to the process

/// What `draw` makes of LibTorch's generator, begun anew: ranks are threads here, and share it.
template <class F>
auto drawn(std::uint64_t seed, const F& draw) {
  const std::lock_guard<std::mutex> lock(one_at_a_time);
  torch::manual_seed(seed);
  return draw();
}

/// Two shared convolutions and two heads, with batch norm after each but the heads' last.
struct NetImpl : torch::nn::Module {
  explicit NetImpl(torch::Dtype type) {
    using torch::nn::Conv2d;
    using torch::nn::Conv2dOptions;
    const auto convolution = [](std::int64_t in, std::int64_t out) {
      return Conv2d(Conv2dOptions(in, out, 3).padding(1).bias(false));
    };
    first = convolution(3, 5);
    last = convolution(5, 4);
    trunk = register_module("trunk", torch::nn::Sequential(first, bevfusion::BatchNorm(5), torch::nn::ReLU(), last,
                                                           bevfusion::BatchNorm(4), torch::nn::Tanh()));
    for (const char* name : {"left", "right"}) {
      heads.push_back(register_module(name, torch::nn::Sequential(convolution(4, 3), bevfusion::BatchNorm(3), torch::nn::ReLU(),
                                                                  Conv2d(Conv2dOptions(3, 2, 1)))));
    }
    to(type);
    train();
  }
  torch::nn::Conv2d first{nullptr}, last{nullptr};
  torch::nn::Sequential trunk{nullptr};
  std::vector<torch::nn::Sequential> heads;
};

/// What a rank, or the one process, has after each step: weights of tasks, gradients, running means and variances.
Tensors trained(Surface surface, torch::Dtype type, int rank, const fuller::Ranks& of_calibration, const fuller::Ranks& of_norms,
                const fuller::Ranks& of_trainer) {
  const int size = of_calibration.count;
  const auto held = drawn(2, [&] { return std::make_shared<NetImpl>(type); });
  NetImpl& net = *held;
  std::shared_ptr<bevfusion::NormSums> sums;
  if (size > 1) {
    sums = bevfusion::synchronise_batch_norm(net, of_norms);
  }
  fuller::CalibrationOptions options;
  options.surface = surface;
  options.ranks = of_calibration;
  fuller::Calibration calibration(fuller::IMTL_G(), {"left", "right"}, options);
  torch::optim::SGD optimizer(net.parameters(), 0.05);
  Tensors out;
  for (const std::int64_t samples : {5, 3, 1}) {  // on three ranks: 2, 2 and 1; one each; none on two of them
    const Tensor noise = drawn(static_cast<std::uint64_t>(samples), [&] {
      return torch::randn({samples, 3, 6, 5}, torch::kDouble);
    });
    const Tensor batch = (3 + 2 * noise).to(type);
    const std::int64_t from = std::min<std::int64_t>(samples, (samples + size - 1) / size * rank);
    const std::int64_t to = std::min<std::int64_t>(samples, (samples + size - 1) / size * (rank + 1));
    optimizer.zero_grad();
    bevfusion::NormSums::Batch together(sums.get(), from == to);
    if (from == to) {
      calibration.idle_step();
    } else {
      const Tensor x = batch.slice(0, from, to);
      const Tensor z = net.trunk->forward(x);
      const auto levels = surface == Surface::representation ? calibration.fork(z)
                          : surface == Surface::last_shared  ? calibration.fork(z, {net.last->weight})
                                                             : calibration.fork(z, net.trunk->parameters());
      const Tensor left = (net.heads[0]->forward(levels[0]) - x.slice(1, 0, 2)).pow(2).mean();
      const Tensor right = 7 * (net.heads[1]->forward(levels[1]) - x.slice(1, 1, 3).sin()).pow(2).mean();
      const double share = static_cast<double>((to - from) * size) / static_cast<double>(samples);
      (calibration.sum({left, right}) * share).backward();
    }
    together.end();
    Tensors gradients;
    for (const Tensor& parameter : net.parameters()) {
      gradients.push_back(parameter.grad().defined() ? parameter.grad() : torch::zeros_like(parameter));
    }
    if (size > 1) {
      of_trainer.average(gradients);
      for (std::size_t k = 0; k < gradients.size(); ++k) {
        net.parameters()[k].mutable_grad() = gradients[k];
      }
    }
    out.push_back(torch::tensor(calibration.diagnostics().weights, torch::kDouble));
    for (const Tensor& gradient : gradients) {
      out.push_back(gradient.to(torch::kDouble, /*non_blocking=*/false, /*copy=*/true));
    }
    if (rank == 0) {  // which has samples in each step
      for (const Tensor& buffer : net.buffers()) {
        out.push_back(buffer.to(torch::kDouble, /*non_blocking=*/false, /*copy=*/true));
      }
    }
    optimizer.step();
  }
  return out;
}

/// Of all that a rank has, over the longest of it.
double difference(const Tensors& got, const Tensors& expected) {
  REQUIRE(got.size() == expected.size());
  double worst = 0;
  double longest = 0;
  for (std::size_t k = 0; k < expected.size(); ++k) {
    worst = std::max(worst, (got[k] - expected[k]).norm().item<double>());
    longest = std::max(longest, expected[k].norm().item<double>());
  }
  CHECK(longest > 0.5);
  return worst / longest;
}

TEST_CASE("ranks whose batch norms add up learn what one process learns, in every pass of a calibrated backward",
          "[bevfusion][ranks]") {
  torch::set_num_threads(1);
  constexpr int size = 3;
  for (const Surface surface : {Surface::representation, Surface::last_shared, Surface::all_shared}) {
    for (const torch::Dtype type : {torch::kDouble, torch::kFloat}) {
      INFO("surface " << static_cast<int>(surface) << ", " << type);
      const Tensors expected = trained(surface, type, 0, {}, {}, {});
      Meeting of_calibration(size), of_norms(size), of_trainer(size);
      std::vector<Tensors> got(size);
      std::vector<int> reductions(size, 0);
      const auto said = in_threads(size, [&](int rank) {
        const auto r = static_cast<std::size_t>(rank);
        got[r] = trained(surface, type, rank, ranks_at(of_calibration, rank, size),
                         ranks_at(of_norms, rank, size, &reductions[r]), ranks_at(of_trainer, rank, size));
      });
      REQUIRE(said == std::vector<std::string>(size));
      CHECK(difference(got[0], expected) < (type == torch::kDouble ? 1e-12 : 1e-6));
      // In each step four layers forward, the two heads' backward, the trunk's two in the pass that trains; then in two passes
      // for task gradients none, the one that lies downstream of the last layer, or both. And the end.
      const int passes = surface == Surface::representation ? 0 : surface == Surface::last_shared ? 2 : 4;
      CHECK(reductions == std::vector<int>(size, 3 * (4 + 2 + 2 + passes + 1)));
    }
  }
}

TEST_CASE("batch norms add up over ranks that have a store alone", "[bevfusion][ranks]") {
  torch::set_num_threads(1);
  constexpr int size = 3;
  for (const Surface surface : {Surface::representation, Surface::last_shared, Surface::all_shared}) {
    INFO("surface " << static_cast<int>(surface));
    const Tensors expected = trained(surface, torch::kDouble, 0, {}, {}, {});
    const auto store = c10::make_intrusive<c10d::HashStore>();
    std::vector<Tensors> got(size);
    const auto said = in_threads(size, [&](int rank) {
      const auto over_store = [&](const char* name) {
        fuller::RanksOptions options;
        options.name = name;
        options.timeout = std::chrono::seconds(60);
        return fuller::ranks_over(store, rank, size, options);
      };
      got[static_cast<std::size_t>(rank)] =
          trained(surface, torch::kDouble, rank, over_store("calibration"), over_store("batch norms"), over_store("trainer"));
    });
    REQUIRE(said == std::vector<std::string>(size));
    CHECK(difference(got[0], expected) < 1e-12);
  }
}

TEST_CASE("rows of ranks that have some, one or none are normalised by all of them", "[bevfusion][ranks]") {
  constexpr int size = 3;
  const Tensor rows = torch::arange(12, torch::kDouble).view({4, 3}).cos() * 5 + 10;
  for (const std::vector<std::int64_t>& ends : {std::vector<std::int64_t>{0, 3, 3, 4}, {0, 0, 1, 1}}) {
    const Tensor whole = rows.slice(0, 0, ends.back()).clone().requires_grad_();
    bevfusion::BatchNorm plain(3);
    plain->to(torch::kDouble);
    const Tensor expected = bevfusion::normalise_rows(plain, whole);
    expected.pow(3).sum().backward();
    Meeting meeting(size);
    const auto said = in_threads(size, [&](int rank) {
      const auto r = static_cast<std::size_t>(rank);
      torch::nn::Sequential holder(bevfusion::BatchNorm(3));
      holder->to(torch::kDouble);
      auto sums = bevfusion::synchronise_batch_norm(*holder, ranks_at(meeting, rank, size));
      bevfusion::BatchNorm norm(std::dynamic_pointer_cast<bevfusion::BatchNormImpl>(holder->ptr(0)));
      const Tensor part = rows.slice(0, ends[r], ends[r + 1]).clone().requires_grad_();
      bevfusion::NormSums::Batch together(sums.get(), false);
      const Tensor out = bevfusion::normalise_rows(norm, part);
      out.pow(3).sum().backward();
      together.end();
      const auto near = [](const Tensor& a, const Tensor& b) {
        return a.sizes() == b.sizes() && torch::allclose(a, b, 1e-12, 1e-12);
      };
      if (!near(out, expected.slice(0, ends[r], ends[r + 1])) ||
          !near(part.grad(), whole.grad().slice(0, ends[r], ends[r + 1])) || !near(norm->running_mean, plain->running_mean) ||
          !near(norm->running_var, plain->running_var)) {
        throw std::runtime_error("rows of rank " + std::to_string(rank) + " are not those of all together");
      }
    });
    CHECK(said == std::vector<std::string>(size));
  }
}

TEST_CASE("ranks that pass other batch norms, or refuse, end together and say where", "[bevfusion][ranks]") {
  constexpr int size = 3;
  for (const bool refuses : {false, true}) {
    Meeting meeting(size);
    const auto said = in_threads(size, [&](int rank) {  // the last has no sample
      torch::nn::Sequential layers(
          {{"a", torch::nn::AnyModule(bevfusion::BatchNorm(2))}, {"b", torch::nn::AnyModule(bevfusion::BatchNorm(3))}});
      auto sums = bevfusion::synchronise_batch_norm(*layers, ranks_at(meeting, rank, size));
      bevfusion::NormSums::Batch together(sums.get(), rank == 2);
      if (rank == 0) {
        layers[0]->as<bevfusion::BatchNorm>()->forward(torch::ones({4, 2}));
      } else if (rank == 1 && refuses) {
        throw std::runtime_error("no more");
      } else if (rank == 1) {
        layers[1]->as<bevfusion::BatchNorm>()->forward(torch::ones({4, 3}));
      }
      together.end();
    });
    const std::string places =
        refuses
            ? "rank 0 is at a, forward; rank 1 has refused; rank 2 has no sample: a rank that has refused says why"
            : "rank 0 is at a, forward; rank 1 is at b, forward; rank 2 has no sample: with training.sync_batch_norm all ranks";
    for (std::size_t rank = 0; rank < size; ++rank) {
      INFO(said[rank]);
      if (rank == 1 && refuses) {
        CHECK(said[rank] == "no more");
      } else {
        CHECK(said[rank].find("rank " + std::to_string(rank) + " of 3: batch norm cannot add up over the ranks: " + places) == 0);
      }
    }
  }
  Meeting meeting(2);
  torch::nn::Sequential foreign(torch::nn::BatchNorm2d(2));
  CHECK_THROWS_AS(bevfusion::synchronise_batch_norm(*foreign, ranks_at(meeting, 0, 2)), std::invalid_argument);
}

}  // namespace sync_batch_norm_test
