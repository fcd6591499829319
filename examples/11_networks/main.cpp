// SPDX-License-Identifier: Apache-2.0
// Networks as people have them, each in a file, summed and calibrated from the same start: how the shared part is told, how far
// the tasks' gradients are apart there, and what both losses end at.
#include <cstdio>
#include <cstdlib>

#include "11_networks/network.hpp"

namespace {

struct End {
  std::vector<double> losses;
  double apart = 0, weighted = 0;
};

/// Uniform is the plain sum, bit for bit, with diagnostics.
template <class Rule>
End train(std::unique_ptr<Network> (*make)(), Rule rule, int steps) {
  torch::manual_seed(1);
  const std::unique_ptr<Network> net = make();
  fuller::Calibration calibration(rule, net->tasks, net->options);
  torch::optim::Adam optimizer(net->parameters(), torch::optim::AdamOptions(1e-2));
  End end;
  for (int step = 0; step < steps; ++step) {
    const std::vector<torch::Tensor> losses = net->losses(calibration);
    const torch::Tensor loss = calibration.sum(losses);
    optimizer.zero_grad();
    loss.backward();
    optimizer.step();
    if (step + 1 == steps) {
      end.losses = {losses[0].item<double>(), losses[1].item<double>()};
      const fuller::Diagnostics seen = calibration.diagnostics();
      end.apart = seen.gamma_task;
      end.weighted = seen.gamma_task_weighted;
    }
  }
  return end;
}

}  // namespace

int main(int count, char** arguments) {
  at::set_num_threads(1);
  const int steps = count > 1 ? std::atoi(arguments[1]) : 200;
  std::printf("%-20s  %-28s  %-8s %8s %10s   %-8s %8s %10s   %s\n", "network", "shared part", "task", "summed", "calibrated",
              "task", "summed", "calibrated", "gradients apart, weighted");
  for (const auto make : {make_unet, make_transformer, make_lstm, make_actor_critic, make_detector, make_scripted}) {
    const std::unique_ptr<Network> net = make();
    const End summed = train(make, fuller::Uniform(), steps), calibrated = train(make, fuller::IMTL_G(), steps);
    std::printf("%-20s  %-28s  %-8s %8.3f %10.3f   %-8s %8.1f %10.1f   %.1f, %.1f\n", net->name.c_str(), net->how.c_str(),
                net->tasks[0].c_str(), summed.losses[0], calibrated.losses[0], net->tasks[1].c_str(), summed.losses[1],
                calibrated.losses[1], calibrated.apart, calibrated.weighted);
  }
}
