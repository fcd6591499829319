// SPDX-License-Identifier: Apache-2.0
// DMFuser's two fusers: what they compute, against attention written out in loops, and that gradients are those of it.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/fusion/concat_fuser.hpp"
#include "bevfusion/fusion/cross_attention_fuser.hpp"
#include "bevfusion/fusion/joint_attention_fuser.hpp"
#include "bevfusion/model/autocast.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::testing::refusal;
using Vector = std::vector<double>;
using Rows = std::vector<Vector>;

torch::TensorOptions doubles() { return torch::TensorOptions(torch::kDouble); }

torch::Tensor parameter(const torch::nn::Module& module, const std::string& name) {
  const auto all = module.named_parameters();
  REQUIRE(all.find(name) != nullptr);
  return all[name].detach();
}

double value_at(const torch::Tensor& tensor, std::initializer_list<std::int64_t> place) {
  torch::Tensor one = tensor;
  for (const std::int64_t index : place) {
    one = one[index];
  }
  return one.item<double>();
}

/// y = x W^T + b, row by row.
Rows linear(const Rows& x, const torch::Tensor& weight, const torch::Tensor& bias) {
  Rows y;
  for (const Vector& row : x) {
    Vector out;
    for (std::int64_t o = 0; o < weight.size(0); ++o) {
      double sum = value_at(bias, {o});
      for (std::int64_t i = 0; i < weight.size(1); ++i) {
        sum += value_at(weight, {o, i}) * row[static_cast<std::size_t>(i)];
      }
      out.push_back(sum);
    }
    y.push_back(out);
  }
  return y;
}

Rows linear(const Rows& x, const torch::nn::Module& module, const std::string& name) {
  return linear(x, parameter(module, name + ".weight"), parameter(module, name + ".bias"));
}

Rows layer_norm(const Rows& x, const torch::nn::Module& module, const std::string& name) {
  const torch::Tensor weight = parameter(module, name + ".weight");
  const torch::Tensor bias = parameter(module, name + ".bias");
  Rows y = x;
  for (Vector& row : y) {
    double mean = 0;
    double square = 0;
    for (const double value : row) {
      mean += value / static_cast<double>(row.size());
    }
    for (const double value : row) {
      square += (value - mean) * (value - mean) / static_cast<double>(row.size());
    }
    for (std::size_t c = 0; c < row.size(); ++c) {
      const auto channel = static_cast<std::int64_t>(c);
      row[c] = (row[c] - mean) / std::sqrt(square + 1e-5) * value_at(weight, {channel}) + value_at(bias, {channel});
    }
  }
  return y;
}

/// softmax(q k^T / divisor) v, each head on its part of the channels.
Rows attention(const Rows& queries, const Rows& keys, const Rows& values, std::size_t heads, double divisor) {
  const std::size_t width = queries.front().size() / heads;
  Rows out(queries.size(), Vector(queries.front().size(), 0));
  for (std::size_t head = 0; head < heads; ++head) {
    for (std::size_t q = 0; q < queries.size(); ++q) {
      Vector weights;
      double sum = 0;
      for (const Vector& key : keys) {
        double score = 0;
        for (std::size_t c = head * width; c < (head + 1) * width; ++c) {
          score += queries[q][c] * key[c];
        }
        weights.push_back(std::exp(score / divisor));
        sum += weights.back();
      }
      for (std::size_t k = 0; k < keys.size(); ++k) {
        for (std::size_t c = head * width; c < (head + 1) * width; ++c) {
          out[q][c] += weights[k] / sum * values[k][c];
        }
      }
    }
  }
  return out;
}

Rows added(Rows a, const Rows& b) {
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t c = 0; c < a[i].size(); ++c) {
      a[i][c] += b[i][c];
    }
  }
  return a;
}

/// x + narrow(GELU(widen(norm(x)))).
Rows with_mlp(const Rows& x, const torch::nn::Module& module, const std::string& norm, const std::string& widen,
              const std::string& narrow) {
  Rows hidden = linear(layer_norm(x, module, norm), module, widen);
  for (Vector& row : hidden) {
    for (double& value : row) {
      value = 0.5 * value * (1 + std::erf(value / std::sqrt(2.0)));
    }
  }
  return added(x, linear(hidden, module, narrow));
}

/// Weights that do not start at zero, so that attention matters.
void stir(torch::nn::Module& module) {
  const torch::NoGradGuard no_grad;
  for (torch::Tensor& weight : module.parameters()) {
    weight.add_(0.3 * torch::randn_like(weight));
  }
}

/// The derivative of <f(...), some direction> along a direction of all parameters and maps, against a difference of values.
void expect_gradients(bevfusion::Fuser& fuser, std::vector<torch::Tensor> maps) {
  std::vector<torch::Tensor> varied = fuser.parameters();
  for (torch::Tensor& map : maps) {
    map.requires_grad_();
    varied.push_back(map);
  }
  torch::Tensor read;
  const auto value = [&] {
    const torch::Tensor out = fuser.forward(maps);
    read = read.defined() ? read : torch::randn_like(out);
    return (out * read).sum();
  };
  const auto gradients = torch::autograd::grad({value()}, varied);
  std::vector<torch::Tensor> direction;
  double expected = 0;
  for (std::size_t i = 0; i < varied.size(); ++i) {
    direction.push_back(torch::randn_like(varied[i]));
    expected += (gradients[i] * direction[i]).sum().item<double>();
  }
  const torch::NoGradGuard no_grad;
  const auto moved = [&](double step) {
    for (std::size_t i = 0; i < varied.size(); ++i) {
      varied[i].add_(step * direction[i]);
    }
    return value().item<double>();
  };
  constexpr double step = 1e-6;
  const double above = moved(step);
  const double below = moved(-2 * step);
  CHECK((above - below) / (2 * step) == Approx(expected).epsilon(1e-5));
}

std::int64_t count_of(const torch::nn::Module& module) {
  std::int64_t count = 0;
  for (const torch::Tensor& weight : module.parameters()) {
    count += weight.numel();
  }
  return count;
}

bevfusion::CrossAttentionOptions small_options() {
  bevfusion::CrossAttentionOptions options;
  options.scales = 2;
  options.tokens = 4;
  options.width = 8;
  options.heads = 2;
  return options;
}

}  // namespace

TEST_CASE("cross attention at one scale is that of loops", "[bevfusion][fusers]") {
  torch::manual_seed(31);
  bevfusion::CrossAttentionOptions options;
  options.width = 4;
  options.heads = 2;
  options.mlp = 3;
  const std::vector<std::int64_t> in{3, 2};
  bevfusion::CrossAttentionScale scale(in, 2, options);
  scale->to(torch::kDouble);
  stir(*scale);
  const std::vector<torch::Tensor> maps{torch::randn({1, 3, 4, 4}, doubles()), torch::randn({1, 2, 4, 4}, doubles())};
  const std::vector<torch::Tensor> got = scale->forward(maps);

  std::vector<Rows> tokens(2);
  std::vector<Rows> level(2);
  for (std::size_t m = 0; m < 2; ++m) {
    const std::string number = std::to_string(m);
    Rows windows;
    for (std::int64_t t = 0; t < 4; ++t) {  // 2 x 2 windows of 2 x 2 cells
      Vector row;
      for (std::int64_t c = 0; c < in[m]; ++c) {
        double sum = 0;
        for (std::int64_t cell = 0; cell < 4; ++cell) {
          sum += value_at(maps[m], {0, c, 2 * (t / 2) + cell / 2, 2 * (t % 2) + cell % 2});
        }
        row.push_back(sum / 4);
      }
      windows.push_back(row);
    }
    tokens[m] = linear(windows, *scale, "embed" + number);
    const torch::Tensor position = parameter(*scale, "position" + number);
    for (std::size_t t = 0; t < 4; ++t) {
      for (std::size_t c = 0; c < 4; ++c) {
        tokens[m][t][c] += value_at(position, {static_cast<std::int64_t>(t), 0, static_cast<std::int64_t>(c)});
      }
    }
    level[m] = layer_norm(tokens[m], *scale, "norm" + number);
  }
  for (std::size_t m = 0; m < 2; ++m) {
    const std::string number = std::to_string(m);
    const torch::Tensor weights = parameter(*scale, "attention" + number + ".in_proj_weight").view({3, 4, 4});
    const torch::Tensor biases = parameter(*scale, "attention" + number + ".in_proj_bias").view({3, 4});
    const Rows& other = level[1 - m];
    const Rows read = attention(linear(level[m], weights[0], biases[0]), linear(other, weights[1], biases[1]),
                                linear(other, weights[2], biases[2]), 2, std::sqrt(2.0));
    const Rows after = added(tokens[m], linear(read, *scale, "attention" + number + ".out_proj"));
    const Rows heard =
        linear(with_mlp(after, *scale, "mlp_norm" + number, "widen" + number, "narrow" + number), *scale, "out" + number);
    // Four cells along a side lie at -0.25, 0.25, 0.75, 1.25 between two windows, and the outer ones take the outer window's.
    const auto near = [](std::int64_t cell) { return std::min(std::max((static_cast<double>(cell) + 0.5) / 2 - 0.5, 0.0), 1.0); };
    double worst = 0;
    for (std::int64_t c = 0; c < in[m]; ++c) {
      const auto channel = static_cast<std::size_t>(c);
      for (std::int64_t x = 0; x < 4; ++x) {
        for (std::int64_t y = 0; y < 4; ++y) {
          const double u = near(x);
          const double v = near(y);
          const double added_there = (1 - u) * ((1 - v) * heard[0][channel] + v * heard[1][channel]) +
                                     u * ((1 - v) * heard[2][channel] + v * heard[3][channel]);
          worst = std::max(worst, std::abs(value_at(got[m], {0, c, x, y}) - value_at(maps[m], {0, c, x, y}) - added_there));
        }
      }
    }
    CHECK(worst < 1e-12);
  }
}

TEST_CASE("the repository's block is that of loops", "[bevfusion][fusers]") {
  torch::manual_seed(32);
  bevfusion::JointAttentionBlock block(4, /*heads=*/2, /*mlp=*/3);
  block->to(torch::kDouble);
  stir(*block);
  block->eval();
  for (auto& buffer : block->named_buffers()) {
    if (buffer.key().find("running") != std::string::npos) {
      buffer.value().uniform_(0.5, 2);
    }
  }
  const torch::Tensor map = torch::randn({1, 4, 3, 2}, doubles());
  const torch::Tensor got = block->forward(map);

  const auto token = [](std::int64_t x, std::int64_t y) { return static_cast<std::size_t>(2 * x + y); };
  Rows tokens(6, Vector(4));
  for (std::int64_t x = 0; x < 3; ++x) {
    for (std::int64_t y = 0; y < 2; ++y) {
      for (std::int64_t c = 0; c < 4; ++c) {
        tokens[token(x, y)][static_cast<std::size_t>(c)] = value_at(map, {0, c, x, y});
      }
    }
  }
  const Rows level = layer_norm(tokens, *block, "norm");
  const auto projected = [&](const std::string& name) {
    const torch::Tensor kernel = parameter(*block, name + "_conv.weight");
    const auto buffers = block->named_buffers();
    Rows convolved(6, Vector(4, 0));
    for (std::int64_t x = 0; x < 3; ++x) {
      for (std::int64_t y = 0; y < 2; ++y) {
        for (std::int64_t o = 0; o < 4; ++o) {
          double sum = 0;
          for (std::int64_t dx = std::max<std::int64_t>(x - 1, 0); dx <= std::min<std::int64_t>(x + 1, 2); ++dx) {
            for (std::int64_t dy = std::max<std::int64_t>(y - 1, 0); dy <= std::min<std::int64_t>(y + 1, 1); ++dy) {
              for (std::int64_t i = 0; i < 4; ++i) {
                sum += value_at(kernel, {o, i, dx - x + 1, dy - y + 1}) * level[token(dx, dy)][static_cast<std::size_t>(i)];
              }
            }
          }
          const double mean = value_at(buffers[name + "_norm.running_mean"], {o});
          const double variance = value_at(buffers[name + "_norm.running_var"], {o});
          convolved[token(x, y)][static_cast<std::size_t>(o)] =
              (sum - mean) / std::sqrt(variance + 1e-5) * value_at(parameter(*block, name + "_norm.weight"), {o}) +
              value_at(parameter(*block, name + "_norm.bias"), {o});
        }
      }
    }
    return linear(convolved, *block, name);
  };
  // Two heads of two channels, and the repository divides by the square root of all four.
  const Rows read = attention(projected("query"), projected("key"), projected("value"), 2, 2.0);
  const Rows expected = with_mlp(added(tokens, linear(read, *block, "out")), *block, "mlp_norm", "widen", "narrow");
  double worst = 0;
  for (std::int64_t x = 0; x < 3; ++x) {
    for (std::int64_t y = 0; y < 2; ++y) {
      for (std::int64_t c = 0; c < 4; ++c) {
        worst = std::max(worst, std::abs(value_at(got, {0, c, x, y}) - expected[token(x, y)][static_cast<std::size_t>(c)]));
      }
    }
  }
  CHECK(worst < 1e-12);
}

TEST_CASE("the repository's block has the repository's parameters", "[bevfusion][fusers]") {
  const bevfusion::JointAttentionBlock block(496);
  CHECK(count_of(*block) == 9604048);
  std::int64_t in_convolutions = 0;
  for (const auto& weight : block->named_parameters()) {
    for (const char* of : {"query_", "key_", "value_"}) {
      in_convolutions += weight.key().rfind(of, 0) == 0 ? weight.value().numel() : 0;
    }
  }
  CHECK(in_convolutions == 6645408);  // three of 3 x 3 x 496 x 496 with their batch norms
}

TEST_CASE("where windows are cells the joint fuser adds nothing to the block", "[bevfusion][fusers]") {
  torch::manual_seed(33);
  bevfusion::JointAttentionFuser fuser({5, 3}, 6, 4, /*heads=*/2, /*mlp=*/2);
  stir(fuser);
  fuser.eval();
  const std::vector<torch::Tensor> maps{torch::randn({2, 5, 4, 4}), torch::randn({2, 3, 4, 4})};
  const auto children = fuser.named_children();
  auto& block = *children["block"]->as<bevfusion::JointAttentionBlock>();
  auto& norm = *children["norm"]->as<bevfusion::BatchNorm>();
  auto& mix = *children["mix"]->as<bevfusion::ConvBlock>();
  const torch::Tensor expected = mix.forward(block.forward(norm.forward(torch::cat(maps, 1))));
  CHECK(torch::allclose(fuser.forward(maps), expected, 1e-4, 1e-5));
}

TEST_CASE("the cross-attention fuser starts as the concatenation does", "[bevfusion][fusers]") {
  const std::vector<torch::Tensor> maps{torch::randn({2, 5, 8, 8}), torch::randn({2, 3, 8, 8})};
  torch::manual_seed(34);
  bevfusion::ConcatFuser concat({5, 3}, 6);
  torch::manual_seed(34);
  bevfusion::CrossAttentionFuser cross({5, 3}, 6, 8, small_options());
  CHECK(torch::allclose(cross.forward(maps), concat.forward(maps), 1e-5, 1e-6));
  stir(cross);
  CHECK_FALSE(torch::allclose(cross.forward(maps), concat.forward(maps), 1e-1, 1e-1));
}

TEST_CASE("a branch comes into the cross attention through its entrance alone", "[bevfusion][fusers]") {
  torch::manual_seed(35);
  bevfusion::CrossAttentionFuser fuser({5, 3}, 6, 8, small_options());
  stir(fuser);
  std::vector<torch::Tensor> maps{torch::randn({2, 5, 8, 8}), torch::randn({2, 3, 8, 8})};
  const auto readers = fuser.branch_readers();
  for (std::size_t m = 0; m < 2; ++m) {
    INFO("branch " << m);
    const torch::Tensor entrance = readers[m].weight.detach().clone();
    const torch::NoGradGuard no_grad;
    std::vector<torch::Tensor> others = maps;
    others[m] = torch::randn_like(maps[m]);
    CHECK_FALSE(torch::allclose(fuser.forward(maps), fuser.forward(others), 1e-2, 1e-2));
    readers[m].weight.zero_();
    CHECK(torch::equal(fuser.forward(maps), fuser.forward(others)));
    readers[m].weight.copy_(entrance);
  }
}

TEST_CASE("gradients of the attention fusers are those of differences", "[bevfusion][fusers]") {
  torch::manual_seed(36);
  const std::vector<torch::Tensor> maps{torch::randn({2, 5, 7, 7}, doubles()), torch::randn({2, 3, 7, 7}, doubles())};
  bevfusion::CrossAttentionFuser cross({5, 3}, 6, 7, small_options());  // windows that do not divide the map
  cross.to(torch::kDouble);
  stir(cross);
  expect_gradients(cross, {maps[0].clone(), maps[1].clone()});
  bevfusion::JointAttentionFuser joint({5, 3}, 6, 3, /*heads=*/2, /*mlp=*/2);
  joint.to(torch::kDouble);
  stir(joint);
  expect_gradients(joint, {maps[0].clone(), maps[1].clone()});
}

TEST_CASE("attention fusers are chosen by name, and their numbers with them", "[bevfusion][fusers]") {
  const bevfusion::Kinds& kinds = bevfusion::kinds();
  const std::vector<std::int64_t> in{32, 16};
  const auto made = [&](const std::string& name, const std::string& numbers) {
    bevfusion::ModelConfig config = bevfusion::tiny_model();
    config.numbers = numbers;
    return kinds.fusers.make(name, config, in);
  };
  const std::vector<torch::Tensor> maps{torch::randn({1, 32, 64, 64}), torch::randn({1, 16, 64, 64})};
  for (const char* name : {"cross_attention", "joint_attention"}) {
    const auto fuser = made(name, "");
    CHECK(fuser->forward(maps).sizes() == std::vector<std::int64_t>{1, 32, 64, 64});
    const bevfusion::Autocast reduced(torch::kCPU, "bfloat16");
    CHECK(torch::isfinite(fuser->forward(maps)).all().item<bool>());
  }
  // One scale's: two embeddings, positions, attentions, MLPs with their norms, and outputs, at a width of 32.
  const auto scale = [](std::int64_t side) {
    const std::int64_t attention = 4 * 32 * 32 + 4 * 32;
    const std::int64_t mlp = 2 * 64 * 32 + 64 + 32;
    const std::int64_t norms = 2 * 2 * 32;
    return 2 * (side * side * 32 + attention + mlp + norms) + 32 * (32 + 16) + 2 * 32 + 32 * (32 + 16) + 32 + 16;
  };
  const std::int64_t frame = 32 * 32 + 16 * 16 + 48 * 32 * 9 + 2 * 32;
  CHECK(count_of(*made("cross_attention", "")) == frame + scale(16) + scale(8) + scale(4));
  CHECK(count_of(*made("cross_attention", "cross_attention.scales=1, cross_attention.tokens=8")) == frame + scale(8));
  CHECK(count_of(*made("joint_attention", "joint_attention.mlp=2")) ==
        count_of(*made("joint_attention", "")) - 2 * (2 * 48 * 48 + 48));
  CHECK(refusal<std::invalid_argument>([&] { made("cross_attention", "cross_attention.scales=1.5"); }).find("whole number") !=
        std::string::npos);
  CHECK(refusal<std::invalid_argument>([&] { made("cross_attention", "cross_attention.heads=5"); }).find("cannot be shared") !=
        std::string::npos);
  CHECK(refusal<std::invalid_argument>([&] { made("cross_attention", "cross_attention.scales=6"); }).find("halved") !=
        std::string::npos);
  CHECK(refusal<std::invalid_argument>([&] { made("joint_attention", "joint_attention.heads=7"); }).find("48 channels") !=
        std::string::npos);
  CHECK(refusal<std::invalid_argument>([&] {
          kinds.fusers.make("cross_attention", bevfusion::tiny_model(), {32});
        }).find("model.fuser to concat") != std::string::npos);
}
