// SPDX-License-Identifier: Apache-2.0
// Pillars against a loop over points, one pillar at a time.
#include <cmath>
#include <limits>
#include <map>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/lidar/pillars.hpp"
#include "support/catch.hpp"

namespace {

const bevfusion::PillarGrid grid{{-4, -2, -1}, {4, 2, 3}, 0.5};  // 16 x 8 pillars

bevfusion::PillarOptions options_of(std::int64_t points, std::int64_t pillars) {
  bevfusion::PillarOptions options;
  options.cell = grid.cell;
  options.channels = 6;
  options.map_channels = 4;
  options.points_per_pillar = points;
  options.most_pillars = pillars;
  return options;
}

torch::Tensor random_cloud(std::int64_t points) {
  const torch::Tensor low = torch::tensor({-5.0, -3.0, -1.5, 0.0, 0.0}, torch::kDouble);
  const torch::Tensor high = torch::tensor({5.0, 3.0, 3.5, 1.0, 0.5}, torch::kDouble);
  return torch::rand({points, 5}, torch::kDouble) * (high - low) + low;
}

/// What the header says, point by point: the map [B, C, 16, 8] of the network's own linear layer and normalisation.
torch::Tensor by_hand(bevfusion::Pillars& net, const std::vector<torch::Tensor>& clouds, std::int64_t most_points,
                      std::size_t most_pillars) {
  std::vector<std::vector<torch::Tensor>> pillars;
  std::vector<std::vector<std::int64_t>> places;
  for (std::size_t b = 0; b < clouds.size(); ++b) {
    std::map<std::pair<std::int64_t, std::int64_t>, std::size_t> seen;
    for (std::int64_t n = 0; n < clouds[b].size(0); ++n) {
      const torch::Tensor point = clouds[b][n];
      const double x = point[0].item<double>();
      const double y = point[1].item<double>();
      const double z = point[2].item<double>();
      if (!(x >= -4 && x < 4 && y >= -2 && y < 2 && z >= -1 && z < 3)) {
        continue;
      }
      const std::pair<std::int64_t, std::int64_t> cell{std::floor((x + 4) / 0.5), std::floor((y + 2) / 0.5)};
      if (seen.count(cell) == 0) {
        if (seen.size() == most_pillars) {
          continue;
        }
        seen[cell] = pillars.size();
        pillars.emplace_back();
        places.push_back({static_cast<std::int64_t>(b), cell.first, cell.second});
      }
      auto& pillar = pillars[seen[cell]];
      if (static_cast<std::int64_t>(pillar.size()) < most_points) {
        pillar.push_back(point);
      }
    }
  }
  std::vector<torch::Tensor> told;
  for (std::size_t k = 0; k < pillars.size(); ++k) {
    const torch::Tensor mean = torch::stack(pillars[k]).mean(0).slice(0, 0, 3);
    const torch::Tensor middle = torch::tensor(
        {-4 + 0.5 * (static_cast<double>(places[k][1]) + 0.5), -2 + 0.5 * (static_cast<double>(places[k][2]) + 0.5)},
        torch::kDouble);
    for (const torch::Tensor& point : pillars[k]) {
      told.push_back(torch::cat({point, point.slice(0, 0, 3) - mean, point.slice(0, 0, 2) - middle}));
    }
  }
  const auto named = net->named_parameters();
  const torch::Tensor linear = torch::stack(told).mm(named["linear.weight"].t());
  const torch::Tensor normed = (linear - linear.mean(0)) / (linear.var(0, /*unbiased=*/false) + 1e-3).sqrt();
  const torch::Tensor features = (normed * named["norm.weight"] + named["norm.bias"]).relu();
  torch::Tensor map = torch::zeros({static_cast<std::int64_t>(clouds.size()), 6, 16, 8}, torch::kDouble);
  std::int64_t from = 0;
  for (std::size_t k = 0; k < pillars.size(); ++k) {
    const auto to = from + static_cast<std::int64_t>(pillars[k].size());
    const torch::Tensor largest = std::get<0>(features.slice(0, from, to).max(0));
    torch::Tensor one = torch::zeros({static_cast<std::int64_t>(clouds.size()), 1, 16, 8}, torch::kDouble);
    one[places[k][0]][0][places[k][1]][places[k][2]] = 1;
    map = map + one * largest.view({1, 6, 1, 1});
    from = to;
  }
  return map;
}

TEST_CASE("pillars equal a loop over them, values and gradients", "[bevfusion][pillars]") {
  torch::manual_seed(31);
  const auto [points, most] =
      GENERATE(std::pair<std::int64_t, std::int64_t>{100, 1000}, std::pair<std::int64_t, std::int64_t>{2, 1000},
               std::pair<std::int64_t, std::int64_t>{3, 20});
  bevfusion::Pillars net(grid, 1.0, options_of(points, most));
  net->to(torch::kDouble);
  {
    const torch::NoGradGuard no_grad;
    net->named_parameters()["norm.weight"].uniform_(0.5, 1.5);
    net->named_parameters()["norm.bias"].uniform_(-0.5, 0.5);
  }
  const std::vector<torch::Tensor> clouds = {random_cloud(300), random_cloud(150)};
  const torch::Tensor map = net->scatter(clouds);
  const torch::Tensor expected = by_hand(net, clouds, points, static_cast<std::size_t>(most));
  CHECK((map - expected).abs().max().item<double>() < 1e-12);
  CHECK(expected.abs().max().item<double>() > 0.1);

  const torch::Tensor cotangent = torch::randn_like(map);
  const std::vector<torch::Tensor> parameters = {net->named_parameters()["linear.weight"], net->named_parameters()["norm.weight"],
                                                 net->named_parameters()["norm.bias"]};
  const auto mine = torch::autograd::grad({map}, parameters, {cotangent});
  const auto theirs = torch::autograd::grad({expected}, parameters, {cotangent});
  for (std::size_t k = 0; k < parameters.size(); ++k) {
    CHECK((mine[k] - theirs[k]).abs().max().item<double>() < 1e-10);
    CHECK(theirs[k].abs().max().item<double>() > 1e-3);
  }
}

TEST_CASE("the order of a cloud's points does not matter where no limit is reached", "[bevfusion][pillars]") {
  torch::manual_seed(32);
  bevfusion::Pillars net(grid, 1.0, options_of(1000, 1000));
  net->to(torch::kDouble);
  const torch::Tensor cloud = random_cloud(400);
  const torch::Tensor shuffled = cloud.index_select(0, torch::randperm(400));
  CHECK((net->scatter({cloud}) - net->scatter({shuffled})).abs().max().item<double>() < 1e-12);
  bevfusion::Pillars limited(grid, 1.0, options_of(1, 1000));
  limited->to(torch::kDouble);
  CHECK((limited->scatter({cloud}) - limited->scatter({shuffled})).abs().max().item<double>() > 1e-3);
}

TEST_CASE("clouds without a usable point give an empty map, and train", "[bevfusion][pillars]") {
  bevfusion::Pillars net(grid, 1.0, options_of(5, 10));
  net->to(torch::kDouble);
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  const torch::Tensor lost = torch::tensor({nan, 0.0, 0.0, 0.0, 0.0, 9.0, 0.0, 0.0, 0.0, 0.0}, torch::kDouble).view({2, 5});
  const torch::Tensor none = torch::zeros({0, 5}, torch::kDouble);
  const torch::Tensor map = net->scatter({lost, none});
  CHECK(map.sizes() == at::IntArrayRef({2, 6, 16, 8}));
  CHECK(map.abs().max().item<double>() == 0.0);
  const torch::Tensor out = net->forward({lost, none});
  CHECK(out.sizes() == at::IntArrayRef({2, 4, 8, 4}));
  out.sum().backward();
  CHECK(net->named_parameters()["linear.weight"].grad().abs().max().item<double>() == 0.0);
  CHECK(torch::isfinite(net->named_buffers()["norm.running_mean"]).all().item<bool>());

  CHECK_THROWS_AS(net->forward({}), std::invalid_argument);
  CHECK_THROWS_AS(net->forward({torch::zeros({4, 2}, torch::kDouble)}), std::invalid_argument);
  CHECK_THROWS_AS(bevfusion::Pillars(grid, 1.2, options_of(5, 10)), std::invalid_argument);
}

}  // namespace
