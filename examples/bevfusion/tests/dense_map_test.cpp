// SPDX-License-Identifier: Apache-2.0
// BEVFusion's dense map head: parameters counted by hand, its grid and its layers against loops in doubles, cells against metres.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <string>

#include <torch/torch.h>

#include "bevfusion/heads/dense_map.hpp"
#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/losses/foreground_target.hpp"
#include "bevfusion/matching/foreground_mask.hpp"
#include "bevfusion/model/kinds.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

std::int64_t count(const torch::nn::Module& module) {
  std::int64_t sum = 0;
  for (const torch::Tensor& parameter : module.parameters()) {
    sum += parameter.numel();
  }
  return sum;
}

/// Writes weights under which the head, in evaluation mode, says of positive maps what its grid reads, channel by channel.
void pass_through(torch::nn::Module& head) {
  const torch::NoGradGuard no_grad;
  for (auto& parameter : head.named_parameters()) {
    torch::Tensor& value = parameter.value();
    value.zero_();
    if (value.dim() == 4) {
      const std::int64_t middle = value.size(2) / 2;
      for (std::int64_t c = 0; c < value.size(0); ++c) {
        value[c][c][middle][middle] = 1;
      }
    } else if (parameter.key() == "classifier.1.weight" || parameter.key() == "classifier.4.weight") {
      value.fill_(std::sqrt(1 + 1e-5));  // undoes the epsilon beside a variance of one
    }
  }
  head.eval();
}

TEST_CASE("the dense map head has the parameters counted by hand, by BEVFusion's names", "[bevfusion][dense_map]") {
  // Two convolutions 3 x 3 of 512 channels, two norms, and 1 x 1 with bias to six masks.
  const DenseMap head;
  CHECK(count(*head) == 2 * 512 * 512 * 9 + 2 * 2 * 512 + 512 * 6 + 6);
  // FULLER's supplement, Table 6: 4.7 M, of which Fuller-seg's 2.7 M save 42.6 %.
  CHECK(std::round(static_cast<double>(count(*head)) / 1e5) == 47);
  std::set<std::string> names;
  for (const auto& entry : head->named_parameters()) {
    names.insert(entry.key());
  }
  CHECK(names == std::set<std::string>{"classifier.0.weight", "classifier.1.weight", "classifier.1.bias", "classifier.3.weight",
                                       "classifier.4.weight", "classifier.4.bias", "classifier.6.weight", "classifier.6.bias"});
  // Of the width in front of it, for as many masks as are asked for, at every size.
  for (const char* size : {"tiny", "small", "full"}) {
    const ModelConfig config = model_of_size(size);
    const std::int64_t inputs = 2 * config.bev.up;
    const auto made = kinds().segmentation_heads.make("dense_map", config, inputs, 3);
    CHECK(count(*made) == 18 * inputs * inputs + 4 * inputs + 3 * inputs + 3);
  }
}

TEST_CASE("the dense map head reads the shared map where the masks' cells are, by hand", "[bevfusion][dense_map]") {
  torch::manual_seed(1);
  const std::int64_t rows = 6;
  const std::int64_t columns = 9;
  for (const double reach : {2.4, 3.0, 3.7}) {  // masks within the map, as large, and larger
    DenseMapOptions options;
    options.inputs = 2;
    options.classes = 2;
    options.map_range = 3.0;
    options.mask = {reach, 7};
    DenseMap head(options);
    head->to(torch::kDouble);
    pass_through(*head);
    const torch::Tensor map = torch::rand({2, 2, rows, columns}, torch::kDouble) + 0.1;
    const torch::NoGradGuard no_grad;
    const torch::Tensor said = head->forward(map);
    REQUIRE(said.sizes() == at::IntArrayRef({2, 2, 7, 7}));
    const auto values = map.accessor<double, 4>();
    const auto at = [&](std::int64_t b, std::int64_t c, std::int64_t i, std::int64_t j) {
      return i >= 0 && j >= 0 && i < rows && j < columns ? values[b][c][i][j] : 0.0;  // nothing beyond the map
    };
    double worst = 0;
    for (std::int64_t i = 0; i < 7; ++i) {
      for (std::int64_t j = 0; j < 7; ++j) {
        // Metres of the cell's middle; then in cells of the map, whose first middle is 0.
        const double x = (static_cast<double>(i) + 0.5) * 2 * reach / 7 - reach;
        const double y = (static_cast<double>(j) + 0.5) * 2 * reach / 7 - reach;
        const double u = (x + 3.0) / 6.0 * static_cast<double>(rows) - 0.5;
        const double v = (y + 3.0) / 6.0 * static_cast<double>(columns) - 0.5;
        const auto i0 = static_cast<std::int64_t>(std::floor(u));
        const auto j0 = static_cast<std::int64_t>(std::floor(v));
        const double s = u - static_cast<double>(i0);
        const double t = v - static_cast<double>(j0);
        for (std::int64_t b = 0; b < 2; ++b) {
          for (std::int64_t c = 0; c < 2; ++c) {
            const double expected = (1 - s) * ((1 - t) * at(b, c, i0, j0) + t * at(b, c, i0, j0 + 1)) +
                                    s * ((1 - t) * at(b, c, i0 + 1, j0) + t * at(b, c, i0 + 1, j0 + 1));
            worst = std::max(worst, std::abs(said[b][c][i][j].item<double>() - expected));
          }
        }
      }
    }
    CAPTURE(reach);
    CHECK(worst < 1e-12);
  }
}

/// Convolution 3 x 3 without bias, batch norm by the batch's own statistics, ReLU: [B][C][side][side], by its definition.
torch::Tensor wide_layer(const torch::Tensor& map, const torch::Tensor& weight, const torch::Tensor& scale,
                         const torch::Tensor& shift) {
  const std::int64_t batch = map.size(0);
  const std::int64_t side = map.size(2);
  torch::Tensor out = torch::zeros({batch, weight.size(0), side, side}, torch::kDouble);
  const auto in = map.accessor<double, 4>();
  const auto w = weight.accessor<double, 4>();
  auto to = out.accessor<double, 4>();
  const auto each = [&](const auto& act) {
    for (std::int64_t b = 0; b < batch; ++b) {
      for (std::int64_t i = 0; i < side; ++i) {
        for (std::int64_t j = 0; j < side; ++j) {
          act(b, i, j);
        }
      }
    }
  };
  const auto cells = static_cast<double>(batch * side * side);
  for (std::int64_t k = 0; k < weight.size(0); ++k) {
    double sum = 0;
    double squares = 0;
    each([&](std::int64_t b, std::int64_t i, std::int64_t j) {
      for (std::int64_t c = 0; c < map.size(1); ++c) {
        for (std::int64_t di = -1; di <= 1; ++di) {
          for (std::int64_t dj = -1; dj <= 1; ++dj) {
            const bool inside = i + di >= 0 && i + di < side && j + dj >= 0 && j + dj < side;
            to[b][k][i][j] += inside ? w[k][c][di + 1][dj + 1] * in[b][c][i + di][j + dj] : 0;
          }
        }
      }
      sum += to[b][k][i][j];
    });
    each([&](std::int64_t b, std::int64_t i, std::int64_t j) { squares += std::pow(to[b][k][i][j] - sum / cells, 2); });
    const double deviation = std::sqrt(squares / cells + 1e-5);
    each([&](std::int64_t b, std::int64_t i, std::int64_t j) {
      const double normed = (to[b][k][i][j] - sum / cells) / deviation;
      to[b][k][i][j] = std::max(0.0, normed * scale[k].item<double>() + shift[k].item<double>());
    });
  }
  return out;
}

TEST_CASE("the dense map head's layers by hand", "[bevfusion][dense_map]") {
  torch::manual_seed(2);
  DenseMapOptions options;
  options.inputs = 3;
  options.classes = 2;
  options.map_range = 5;
  options.mask = {5, 4};  // the map's own cells
  DenseMap head(options);
  head->to(torch::kDouble);
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& parameter : head->parameters()) {
    parameter.uniform_(-1, 1);
  }
  auto named = head->named_parameters();
  const torch::Tensor map = torch::randn({2, 3, 4, 4}, torch::kDouble);
  torch::Tensor expected = map;
  for (const char* layer : {"classifier.0", "classifier.3"}) {
    const std::string norm = std::string(layer) == "classifier.0" ? "classifier.1" : "classifier.4";
    expected = wide_layer(expected, named[std::string(layer) + ".weight"], named[norm + ".weight"], named[norm + ".bias"]);
  }
  const torch::Tensor last = named["classifier.6.weight"];
  torch::Tensor logits = torch::zeros({2, 2, 4, 4}, torch::kDouble);
  for (std::int64_t m = 0; m < 2; ++m) {
    for (std::int64_t c = 0; c < 3; ++c) {
      logits.select(1, m) += last[m][c][0][0] * expected.select(1, c);
    }
    logits.select(1, m) += named["classifier.6.bias"][m];
  }
  head->train();
  CHECK((head->forward(map) - logits).abs().max().item<double>() < 1e-12);
}

TEST_CASE("what lies at some metres of the shared map is at the same metres of the mask", "[bevfusion][dense_map]") {
  for (const char* size : {"tiny", "small", "full"}) {
    CAPTURE(size);
    const ModelConfig config = model_of_size(size);
    const auto head = kinds().segmentation_heads.make("dense_map", config, 1, 1);
    pass_through(*head);
    Box3D lorry;
    lorry.center = {7.3, -13.8, 0};
    lorry.size = {5, 11, 3};
    lorry.yaw = 0.5;
    const BevGrid cells = config.bev_grid();
    torch::Tensor map = torch::zeros({1, 1, 64, 64}, torch::kByte);
    const double edge = 2 * config.bev_range / 64;
    draw_footprint({map.data_ptr<std::uint8_t>(), 64, 64}, BevGrid{-config.bev_range, -config.bev_range, edge, 64, 64}, lorry);
    REQUIRE(cells.cells_x % 64 == 0);
    const torch::NoGradGuard no_grad;
    const torch::Tensor said = head->forward(map.to(torch::kFloat))[0][0];
    const MaskGrid& mask = config.segmentation.mask;
    const torch::Tensor truth = foreground_target({{lorry}}, 1, mask, standard_boxes())[0][0];
    const auto overlap = [&](const torch::Tensor& of) {
      const torch::Tensor found = of.ge(0.5);
      const torch::Tensor there = truth.ge(0.5);
      return found.logical_and(there).sum().item<double>() / found.logical_or(there).sum().item<double>();
    };
    CHECK(overlap(said) > 0.8);
    CHECK(overlap(said.t()) < 0.1);
    CHECK(overlap(said.flip({1})) < 0.1);
    // Its middle, in metres.
    const torch::Tensor places =
        (torch::arange(mask.cells) + 0.5) * 2 * mask.range / static_cast<double>(mask.cells) - mask.range;
    CHECK((said.sum(1) * places).sum().item<double>() / said.sum().item<double>() == Approx(7.3).margin(0.25));
    CHECK((said.sum(0) * places).sum().item<double>() / said.sum().item<double>() == Approx(-13.8).margin(0.25));
  }
}

TEST_CASE("the dense map head bears a batch without a sample, as a rank may have it", "[bevfusion][dense_map]") {
  DenseMapOptions options;
  options.inputs = 4;
  options.mask.cells = 8;
  DenseMap head(options);
  head->eval();
  CHECK(head->forward(torch::zeros({0, 4, 6, 6})).sizes() == at::IntArrayRef({0, 6, 8, 8}));
}

}  // namespace
