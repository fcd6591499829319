// SPDX-License-Identifier: Apache-2.0
// A transformer encoder, whose last layer is a residual: two ways lead back from z, so the layer that is compared is named.
#include "11_networks/network.hpp"

namespace {

using torch::Tensor;
namespace nn = torch::nn;

struct Transformer : Network {
  nn::Embedding embedding{20, 16};
  nn::TransformerEncoder encoder{nn::TransformerEncoderOptions(
      nn::TransformerEncoderLayer(nn::TransformerEncoderLayerOptions(16, 2).dim_feedforward(32).dropout(0)), 2)};
  nn::Linear topic{16, 3}, score{16, 1};
  Tensor tokens = torch::randint(20, {12, 16});  // [length, batch]
  Tensor label = tokens.eq(3).sum(0).clamp_max(2);
  Tensor rating = 5 * (tokens.to(torch::kFloat).mean(0, true).t() - 9.5);

  std::vector<Tensor> losses(fuller::Calibration& calibration) override {
    const Tensor z = encoder(embedding(tokens)).mean(0);
    const auto [of_topic, of_score] = calibration.fork<2>(z, {encoder->named_parameters()["layers.1.linear2.weight"]});
    return {torch::cross_entropy_loss(topic(of_topic), label), torch::mse_loss(score(of_score), rating)};
  }
  std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const std::vector<Tensor>& some :
         {embedding->parameters(), encoder->parameters(), topic->parameters(), score->parameters()}) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
};

}  // namespace

std::unique_ptr<Network> make_transformer() {
  auto net = std::make_unique<Transformer>();
  net->name = "transformer encoder";
  net->how = "fork(z, {the last linear2})";
  net->tasks = {"topic", "rating"};
  return net;
}
