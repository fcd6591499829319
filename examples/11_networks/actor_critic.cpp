// SPDX-License-Identifier: Apache-2.0
// An actor and a critic on one trunk, in a game of one move. The entropy bonus is a regulariser and belongs to the actor's loss:
// as a task of its own it would be given as much say as the policy. No fork: the model returns what both heads give.
#include "11_networks/network.hpp"

namespace {

using torch::Tensor;
namespace nn = torch::nn;

struct ActorCritic : Network {
  nn::Linear trunk{6, 32}, actor{32, 3}, critic{32, 1};
  Tensor state = torch::randn({256, 6});

  std::vector<Tensor> losses(fuller::Calibration& /*calibration*/) override {
    const Tensor z = torch::tanh(trunk(state));
    const Tensor log_policy = torch::log_softmax(actor(z), 1), value = critic(z).squeeze(1);
    const Tensor action = torch::multinomial(log_policy.detach().exp(), 1);
    // The best move is the largest of the first three numbers; points are counted in tens.
    const Tensor points = 10 * state.slice(1, 0, 3).gather(1, action).squeeze(1);
    const Tensor advantage = (points - value).detach();
    const Tensor entropy = -(log_policy.exp() * log_policy).sum(1).mean();
    const Tensor of_actor = -(advantage / 10 * log_policy.gather(1, action).squeeze(1)).mean() - 0.01 * entropy;
    return {of_actor, torch::mse_loss(value, points)};
  }
  std::vector<Tensor> parameters() const override {
    std::vector<Tensor> all;
    for (const std::vector<Tensor>& some : {trunk->parameters(), actor->parameters(), critic->parameters()}) {
      all.insert(all.end(), some.begin(), some.end());
    }
    return all;
  }
};

}  // namespace

std::unique_ptr<Network> make_actor_critic() {
  auto net = std::make_unique<ActorCritic>();
  net->name = "actor and critic";
  net->how = "all_shared, no fork";
  net->tasks = {"actor", "critic"};
  net->options.surface = fuller::Surface::all_shared;
  return net;
}
