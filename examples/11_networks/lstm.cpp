// SPDX-License-Identifier: Apache-2.0
// An LSTM reads a series; its last state is what both heads read. A recurrent layer has several weights: the one that is compared
// is named.
#include "11_networks/network.hpp"

namespace {

using torch::Tensor;
namespace nn = torch::nn;

struct Recurrent : Network {
  nn::LSTM lstm{nn::LSTMOptions(2, 16).num_layers(1).batch_first(true)};
  nn::Linear rising{16, 2}, next{16, 1};
  Tensor series = torch::randn({32, 10, 2}).cumsum(1);
  Tensor up = series.select(1, 9).select(1, 0).gt(series.select(1, 0).select(1, 0)).to(torch::kLong);
  Tensor load = 5 * series.select(1, 9).slice(1, 1, 2);  // in watts

  std::vector<Tensor> losses(fuller::Calibration& calibration) override {
    const Tensor z = std::get<0>(lstm(series)).select(1, 9);
    const auto [of_rising, of_next] = calibration.fork<2>(z, {lstm->named_parameters()["weight_hh_l0"]});
    return {torch::cross_entropy_loss(rising(of_rising), up), torch::mse_loss(next(of_next), load)};
  }
  std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const std::vector<Tensor>& some : {lstm->parameters(), rising->parameters(), next->parameters()}) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
};

}  // namespace

std::unique_ptr<Network> make_lstm() {
  auto net = std::make_unique<Recurrent>();
  net->name = "LSTM";
  net->how = "fork(z, {weight_hh_l0})";
  net->tasks = {"rising", "load"};
  return net;
}
