// SPDX-License-Identifier: Apache-2.0
// Sparse convolution against LibTorch's dense conv3d at the active sites: forward and both gradients, in float64.
#include <torch/torch.h>

#include "bevfusion/lidar/voxel_net.hpp"
#include "bevfusion/sparse/sparse_convolution.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::Extent;
using bevfusion::Neighbours;
using bevfusion::SparseTensor;

/// A grid whose sites are active with probability `share`, corners included.
SparseTensor random_grid(const Extent& shape, std::int64_t batch, std::int64_t channels, double share) {
  torch::Tensor active = torch::rand({batch, shape[0], shape[1], shape[2]}) < share;
  active.index_put_({0, 0, 0, 0}, true);
  active.index_put_({batch - 1, shape[0] - 1, shape[1] - 1, shape[2] - 1}, true);
  const torch::Tensor sites = active.nonzero();
  return bevfusion::make_sparse(sites, torch::randn({sites.size(0), channels}, torch::kDouble), shape, batch);
}

/// [K C_in, C_out], offsets x-major, as conv3d's [C_out, C_in, kx, ky, kz].
torch::Tensor dense_weight(const torch::Tensor& weight, const Extent& kernel, std::int64_t in) {
  return weight.view({kernel[0], kernel[1], kernel[2], in, weight.size(1)}).permute({4, 3, 0, 1, 2});
}

double difference(const torch::Tensor& a, const torch::Tensor& b) {
  return a.numel() == 0 ? 0.0 : (a - b).abs().max().item<double>() / (1.0 + b.abs().max().item<double>());
}

void expect_equal_to_dense(const SparseTensor& input, const Neighbours& neighbours, const Extent& kernel, const Extent& stride,
                           const Extent& padding, std::int64_t chunk_bytes) {
  const std::int64_t in = input.features.size(1);
  const std::int64_t out = 5;
  torch::Tensor features = input.features.clone().requires_grad_();
  torch::Tensor weight = torch::randn({kernel[0] * kernel[1] * kernel[2] * in, out}, torch::kDouble).requires_grad_();
  SparseTensor same = input;
  same.features = features;
  const torch::Tensor dense =
      torch::conv3d(same.dense(), dense_weight(weight, kernel, in), {}, at::IntArrayRef(stride), at::IntArrayRef(padding));
  const torch::Tensor at_sites = dense.permute({0, 2, 3, 4, 1}).reshape({-1, out}).index_select(0, neighbours.keys);
  const torch::Tensor cotangent = torch::randn_like(at_sites);
  const auto theirs = torch::autograd::grad({at_sites}, {features, weight}, {cotangent});

  REQUIRE(neighbours.pairs.inputs.defined());
  Neighbours table_alone = neighbours;  // as on a device
  table_alone.pairs = {};
  for (const Neighbours& read : {neighbours, table_alone}) {
    const torch::Tensor sparse = bevfusion::sparse_convolution(features, weight, read, chunk_bytes);
    const auto mine = torch::autograd::grad({sparse}, {features, weight}, {cotangent});
    CHECK(difference(sparse, at_sites) < 1e-12);
    CHECK(difference(mine[0], theirs[0]) < 1e-12);
    CHECK(difference(mine[1], theirs[1]) < 1e-12);
  }
}

TEST_CASE("a submanifold convolution equals the dense one at its sites", "[bevfusion][sparse]") {
  torch::manual_seed(1);
  for (const Extent& kernel : {Extent{3, 3, 3}, Extent{1, 1, 3}, Extent{1, 1, 1}}) {
    const SparseTensor input = random_grid({9, 7, 5}, 2, 4, 0.2);
    const Neighbours neighbours = bevfusion::submanifold_neighbours(input, kernel);
    REQUIRE(neighbours.keys.equal(input.keys));
    const Extent padding{kernel[0] / 2, kernel[1] / 2, kernel[2] / 2};
    for (const std::int64_t chunk : {std::int64_t{1}, std::int64_t{20000}, std::int64_t{1} << 30}) {
      expect_equal_to_dense(input, neighbours, kernel, {1, 1, 1}, padding, chunk);
    }
  }
}

TEST_CASE("a strided convolution equals the dense one, and is active where the dense one can be non-zero",
          "[bevfusion][sparse]") {
  torch::manual_seed(2);
  struct Case {
    Extent kernel, stride, padding;
  };
  for (const Case& c : {Case{{3, 3, 3}, {2, 2, 2}, {1, 1, 1}}, Case{{3, 3, 3}, {2, 2, 2}, {1, 1, 0}},
                        Case{{1, 1, 3}, {1, 1, 2}, {0, 0, 0}}, Case{{2, 2, 2}, {2, 2, 2}, {0, 0, 0}}}) {
    const SparseTensor input = random_grid({8, 11, 7}, 2, 3, 0.05);
    const Neighbours neighbours = bevfusion::strided_neighbours(input, c.kernel, c.stride, c.padding);
    // Ones everywhere count the active inputs of every dense output.
    SparseTensor ones = input;
    ones.features = torch::ones({input.features.size(0), 1}, torch::kDouble);
    const torch::Tensor count =
        torch::conv3d(ones.dense(), torch::ones({1, 1, c.kernel[0], c.kernel[1], c.kernel[2]}, torch::kDouble), {},
                      at::IntArrayRef(c.stride), at::IntArrayRef(c.padding));
    CHECK(count.flatten().nonzero().flatten().equal(neighbours.keys));
    expect_equal_to_dense(input, neighbours, c.kernel, c.stride, c.padding, 3000);
  }
}

TEST_CASE("sparse convolutions take one voxel and none", "[bevfusion][sparse]") {
  torch::manual_seed(3);
  const Extent shape{4, 4, 3};
  const auto one =
      bevfusion::make_sparse(torch::tensor({{0, 3, 0, 2}}, torch::kLong), torch::randn({1, 2}, torch::kDouble), shape, 1);
  expect_equal_to_dense(one, bevfusion::submanifold_neighbours(one, {3, 3, 3}), {3, 3, 3}, {1, 1, 1}, {1, 1, 1}, 1000);
  const auto none = bevfusion::make_sparse(torch::zeros({0, 4}, torch::kLong), torch::zeros({0, 2}, torch::kDouble), shape, 1);
  const auto neighbours = bevfusion::strided_neighbours(none, {3, 3, 3}, {2, 2, 2}, {1, 1, 1});
  Neighbours table_alone = neighbours;
  table_alone.pairs = {};
  for (const Neighbours& read : {neighbours, table_alone}) {
    const torch::Tensor made = bevfusion::sparse_convolution(none.features, torch::zeros({54, 4}, torch::kDouble), read);
    CHECK(made.sizes() == at::IntArrayRef({0, 4}));
  }
}

TEST_CASE("a walk through the sites finds what a search for each neighbour does, and its pairs are the table's entries",
          "[bevfusion][sparse]") {
  torch::manual_seed(5);
  const SparseTensor input = random_grid({6, 5, 7}, 2, 1, 0.3);
  for (const bool strided : {false, true}) {
    const auto found = [&](bool by_search) {
      return strided ? bevfusion::strided_neighbours(input, {3, 3, 3}, {2, 2, 2}, {1, 1, 0}, by_search)
                     : bevfusion::submanifold_neighbours(input, {3, 1, 5}, by_search);
    };
    const Neighbours neighbours = found(false);
    const Neighbours searched = found(true);
    CHECK(neighbours.table.equal(searched.table));
    CHECK(neighbours.keys.equal(searched.keys));
    CHECK(neighbours.shape == searched.shape);
    CHECK_FALSE(searched.pairs.inputs.defined());

    torch::Tensor table = torch::full_like(neighbours.table, input.keys.size(0));
    std::int64_t pair = 0;
    REQUIRE(static_cast<std::int64_t>(neighbours.pairs.counts.size()) == table.size(1));
    for (std::int64_t offset = 0; offset < table.size(1); ++offset) {
      for (std::int64_t k = 0; k < neighbours.pairs.counts[static_cast<std::size_t>(offset)]; ++k, ++pair) {
        table[neighbours.pairs.outputs[pair].item<std::int64_t>()][offset] = neighbours.pairs.inputs[pair];
      }
    }
    CHECK(pair == neighbours.pairs.inputs.size(0));
    CHECK(table.equal(neighbours.table));
  }
}

TEST_CASE("sites outside of the grid or given twice are refused", "[bevfusion][sparse]") {
  const torch::Tensor features = torch::zeros({2, 1});
  CHECK_THROWS(bevfusion::make_sparse(torch::tensor({{0, 0, 0, 0}, {0, 0, 0, 0}}, torch::kLong), features, {2, 2, 2}, 1));
  CHECK_THROWS(bevfusion::make_sparse(torch::tensor({{0, 0, 0, 0}, {0, 0, 0, 2}}, torch::kLong), features, {2, 2, 2}, 1));
  CHECK_THROWS(bevfusion::make_sparse(torch::tensor({{0, 0, 0, 0}, {1, 0, 0, 1}}, torch::kLong), features, {2, 2, 2}, 1));
}

TEST_CASE("VoxelNet at full width has the published layers' parameters and shape", "[bevfusion][sparse]") {
  bevfusion::VoxelNet net;
  std::int64_t parameters = 0;
  for (const auto& parameter : net->parameters()) {
    parameters += parameter.numel();
  }
  // Layer by layer in the example's documentation: 2192 + 27776 + 13888 + 110848 + 55424 + 442880 + 221440 + 1770496 + 49408.
  CHECK(parameters == 2694352);
  CHECK(net->bev_channels(41) == 256);
  torch::manual_seed(4);
  SparseTensor voxels = random_grid({32, 32, 41}, 2, 5, 0.001);
  voxels.features = voxels.features.to(torch::kFloat);
  const torch::Tensor map = net->forward(voxels);
  CHECK(map.sizes() == at::IntArrayRef({2, 256, 4, 4}));
}

}  // namespace
