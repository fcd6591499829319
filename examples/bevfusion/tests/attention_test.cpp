// SPDX-License-Identifier: Apache-2.0
// Attention without gradients against LibTorch's own module, which is the oracle.
#include <cstdint>
#include <tuple>

#include <torch/torch.h>

#include "bevfusion/heads/attention_layer.hpp"
#include "bevfusion/heads/inference_attention.hpp"
#include "support/catch.hpp"

namespace {

struct AttentionCase {
  std::int64_t queries, batch, keys, heads;
  bool one_position;  ///< the same for all samples
};

// Queries below and above the count from which they are taken in turns; more scores than are taken at a time; turns that do not
// divide the queries.
const AttentionCase attention_cases[] = {{1, 1, 5, 1, true},    {2, 3, 40, 4, true},     {2, 2, 33, 4, false},
                                         {17, 2, 30, 4, false}, {50, 1, 20000, 2, true}, {9, 1, 300000, 4, true}};

}  // namespace

TEST_CASE("attention without gradients is the module's own", "[bevfusion][attention]") {
  torch::manual_seed(5);
  const torch::NoGradGuard no_grad;
  const std::int64_t channels = 8;
  for (const AttentionCase& c : attention_cases) {
    torch::nn::MultiheadAttention attention(torch::nn::MultiheadAttentionOptions(channels, c.heads).dropout(0.1));
    attention->to(torch::kDouble);
    attention->in_proj_bias.normal_();
    attention->out_proj->bias.normal_();
    attention->eval();
    const torch::Tensor queries = torch::randn({c.queries, c.batch, channels}, torch::kDouble);
    // As a map's cells lie: channels first.
    const torch::Tensor keys = torch::randn({c.batch, channels, c.keys}, torch::kDouble).permute({2, 0, 1});
    const torch::Tensor position = torch::randn({c.keys, c.one_position ? 1 : c.batch, channels}, torch::kDouble);
    for (const bool position_in_values : {false, true}) {
      INFO(c.queries << " queries, " << c.keys << " keys, " << c.heads << " heads, " << position_in_values);
      const torch::Tensor placed = keys + position;
      const torch::Tensor expected =
          std::get<0>(attention->forward(queries, placed, position_in_values ? placed : keys, {}, false));
      const torch::Tensor read = bevfusion::inference_attention(attention, queries, keys, position, position_in_values);
      REQUIRE(read.defined());
      REQUIRE(read.sizes() == expected.sizes());
      CHECK((read - expected).abs().max().item<double>() < 1e-12);
    }
    attention->train();
    CHECK_FALSE(bevfusion::inference_attention(attention, queries, keys, position, false).defined());  // dropout is to act
    attention->eval();
    const torch::AutoGradMode grad(true);
    CHECK_FALSE(bevfusion::inference_attention(attention, queries, keys, position, false).defined());
  }
}

TEST_CASE("a decoder layer says the same with gradients and without", "[bevfusion][attention]") {
  torch::manual_seed(6);
  bevfusion::DecoderLayerOptions options;
  options.channels = 16;
  options.heads = 4;
  options.feed_forward = 24;
  bevfusion::DecoderLayer layer(options);
  layer->eval();
  const torch::Tensor keys = torch::randn({2, 16, 300000}).permute({2, 0, 1});  // large: tables of 77 and 184 MB
  const torch::Tensor places = torch::randn({300000, 1, 16});
  for (const std::int64_t count : {3, 20}) {
    const torch::Tensor queries = torch::randn({count, 2, 16});
    for (const bool position_in_values : {false, true}) {
      const torch::Tensor with = layer->forward(queries, torch::zeros_like(queries), keys, places, position_in_values).detach();
      const torch::NoGradGuard no_grad;
      const torch::Tensor without = layer->forward(queries, torch::zeros_like(queries), keys, places, position_in_values);
      CHECK((with - without).abs().max().item<float>() < 1e-5F);
    }
  }
}

TEST_CASE("scores that vanish next to the largest leave no trace", "[bevfusion][attention]") {
  const torch::NoGradGuard no_grad;
  torch::manual_seed(7);
  torch::nn::MultiheadAttention attention(torch::nn::MultiheadAttentionOptions(4, 1));
  attention->eval();
  const torch::Tensor queries = 40 * torch::randn({30, 1, 4});
  const torch::Tensor keys = 40 * torch::randn({500, 1, 4});
  const torch::Tensor nowhere = torch::zeros({500, 1, 4});
  const torch::Tensor expected = std::get<0>(attention->forward(queries, keys, keys, {}, false));
  const torch::Tensor read = bevfusion::inference_attention(attention, queries, keys, nowhere, false);
  REQUIRE(read.defined());
  CHECK((read - expected).abs().max().item<float>() < 1e-3F);  // of values about 40
}
