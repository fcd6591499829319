// SPDX-License-Identifier: Apache-2.0
// The smallest complete data-parallel trainer: a process for each rank, weights of the one big batch, one model.
//
//   two_ranks                                               starts both ranks on this machine
//   RANK=r WORLD_SIZE=n MASTER_ADDR=a MASTER_PORT=p two_ranks   is one rank, as torchrun --no-python, srun and mpirun start it
//
// The ranks meet in a TCPStore, which every LibTorch has. Where a process group is at hand, fuller::ranks_of(group) takes it.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <string>

#include <torch/torch.h>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <fuller/distributed/gradients.hpp>
#include <fuller/distributed/ranks.hpp>
#include <fuller/fuller.hpp>

namespace {

using torch::Tensor;

int number_of(const char* variable) {
  const char* const text = std::getenv(variable);
  return text == nullptr ? 0 : std::stoi(text);
}

/// Trains for 200 steps of 64 samples, divided over the ranks without a rest: the last rank may have fewer, or none.
int train(int rank, int size) {
  torch::set_num_threads(1);
  c10d::TCPStoreOptions where;
  where.port = static_cast<std::uint16_t>(number_of("MASTER_PORT"));
  where.isServer = rank == 0;
  where.numWorkers = static_cast<std::size_t>(size);
  const auto store = c10::make_intrusive<c10d::TCPStore>(std::getenv("MASTER_ADDR"), where);
  fuller::RanksOptions of_trainer;
  of_trainer.name = "trainer";
  of_trainer.timeout = std::chrono::minutes(1);
  fuller::RanksOptions of_calibration = of_trainer;
  of_calibration.name = "calibration";
  const fuller::Ranks ranks = fuller::ranks_over(store, rank, size, of_trainer);

  torch::manual_seed(1);  // the same model on every rank
  torch::nn::Sequential trunk(torch::nn::Linear(8, 32), torch::nn::Tanh(), torch::nn::Linear(32, 16));
  torch::nn::Linear left(16, 1);
  torch::nn::Linear right(16, 1);
  std::vector<Tensor> parameters = trunk->parameters();
  for (const auto& head : {left, right}) {
    for (const Tensor& parameter : head->parameters()) {
      parameters.push_back(parameter);
    }
  }
  torch::optim::SGD optimizer(parameters, 0.05);

  fuller::CalibrationOptions options;
  options.ranks = fuller::ranks_over(store, rank, size, of_calibration);
  fuller::Calibration calibration(fuller::IMTL_G(), {"left", "right"}, options);

  for (int step = 0; step < 200; ++step) {
    const std::int64_t samples = step % 10 == 9 ? 1 : 64;  // every tenth batch is too small for two
    torch::manual_seed(100 + static_cast<std::uint64_t>(step));
    const Tensor batch = torch::randn({samples, 8});
    const std::int64_t from = samples * rank / size;
    const std::int64_t to = samples * (rank + 1) / size;
    optimizer.zero_grad();
    if (from == to) {
      calibration.idle_step();  // nothing here: adds zeros to what the others reduce
    } else {
      const Tensor x = batch.slice(0, from, to);
      const auto [of_left, of_right] = calibration.fork<2>(torch::tanh(trunk->forward(x)));
      const Tensor loss = calibration.sum({(left(of_left).squeeze(1) - x.sum(1).sin()).pow(2).mean(),
                                           100 * (right(of_right).squeeze(1) - x.select(1, 0)).pow(2).mean()});
      const double share = static_cast<double>(to - from) * size / static_cast<double>(samples);
      (loss * share).backward();
    }
    fuller::average_gradients(ranks, parameters);
    optimizer.step();
  }

  // Every rank must end with the same model: their mean is each of them.
  std::vector<Tensor> mean;
  for (const Tensor& parameter : parameters) {
    mean.push_back(parameter.detach().clone());
  }
  if (size > 1) {
    ranks.average(mean);
  }
  double apart = 0;
  for (std::size_t k = 0; k < mean.size(); ++k) {
    apart = std::max(apart, (mean[k] - parameters[k].detach()).abs().max().item<double>());
  }
  if (rank == 0) {
    std::cout << size << " ranks, " << calibration.steps() << " steps, models apart by " << apart << '\n'
              << calibration.describe();
  }
  fuller::leave(store, rank, size, of_trainer);
  return apart < 1e-6 ? 0 : 1;
}

/// Starts a process for each rank of this machine, and ends with the worst of their states.
int start(const char* program, int size) {
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  setenv("MASTER_PORT", std::to_string(20000 + getpid() % 20000).c_str(), 1);
  setenv("WORLD_SIZE", std::to_string(size).c_str(), 1);
  for (int rank = 0; rank < size; ++rank) {
    if (fork() == 0) {
      setenv("RANK", std::to_string(rank).c_str(), 1);
      execl("/proc/self/exe", program, static_cast<char*>(nullptr));
      _exit(127);
    }
  }
  int worst = 0;
  for (int rank = 0; rank < size; ++rank) {
    int status = 0;
    wait(&status);
    worst = status == 0 ? worst : 1;
  }
  return worst;
}

}  // namespace

int main(int, char** argv) {
  if (std::getenv("RANK") == nullptr) {
    return start(argv[0], 2);
  }
  try {
    return train(number_of("RANK"), number_of("WORLD_SIZE"));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
