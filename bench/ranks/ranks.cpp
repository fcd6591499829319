// SPDX-License-Identifier: Apache-2.0
// What calibration costs a data-parallel step: two ranks on this machine over Gloo, each a process of one thread. The calibrated
// step and the plain one, both with their gradients averaged afterwards, in turn; and what a model of the network makes of the
// bytes that they send, on more ranks than there are here.
//
//   ranks_bench [SECONDS]      for each network (default 20)
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <torch/torch.h>
#include <torch/version.h>
#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <fuller/distributed/gradients.hpp>
#include <fuller/distributed/ranks.hpp>
#include <fuller/fuller.hpp>

#include "step/measurement.hpp"
#include "support/machine.hpp"

namespace {

constexpr int ranks_here = 2;

using Group = c10::intrusive_ptr<c10d::ProcessGroupGloo>;
using Store = c10::intrusive_ptr<c10d::Store>;

Group gloo_group(const Store& store, const std::string& name, int rank) {
  auto how = c10d::ProcessGroupGloo::Options::create();
  how->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
  how->threads = 1;
  return c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>(name, store), rank, ranks_here, how);
}

/// Bytes that a rank gives to averages in one step.
struct Sent {
  std::string name;
  std::int64_t by_calibration = 0;
  std::int64_t gradients = 0;
};

/// The seconds of an average of so many bytes: a ring of all-reduce, whose 2 (R - 1) messages come one after the other.
double ring(double bytes, int ranks, double bytes_a_second, double latency) {
  const double hops = 2.0 * (ranks - 1);
  return hops / ranks * bytes / bytes_a_second + hops * latency;
}

/// A network whose all-reduce is a ring.
struct Interconnect {
  int ranks;
  double bytes_a_second;
  double latency;
  const char* words;
};
constexpr Interconnect interconnects[] = {{8, 200e9, 5e-6, "8 ranks, 200 GB/s, 5 us a message"},
                                          {64, 20e9, 20e-6, "64 ranks, 20 GB/s, 20 us a message"}};

/// What a calibrated step waits for beside what a plain one does: the ranks' meeting, and the average of what is compared.
void predict(const std::string& network, const Sent& sent) {
  for (const Interconnect& one : interconnects) {
    const auto seconds = [&](double bytes) { return ring(bytes, one.ranks, one.bytes_a_second, one.latency); };
    std::printf("predicted  %-16s %-24s %-36s %8.3f ms more, beside %8.3f ms for the gradients\n", network.c_str(),
                sent.name.c_str(), one.words,
                1e3 * (seconds(static_cast<double>(sent.by_calibration)) + seconds(96.0 * one.ranks)),
                1e3 * seconds(static_cast<double>(sent.gradients)));
  }
}

void measure(const bench::Network::Kind& kind, double seconds, int rank, const Group& of_trainer, const Group& of_calibration) {
  bench::Network net(kind);
  const std::vector<torch::Tensor> parameters = net.parameters();
  const auto averaged = [&parameters, &of_trainer](std::function<void()> step) {
    return [&parameters, &of_trainer, step = std::move(step)] {
      step();
      fuller::average_gradients(of_trainer, parameters);
    };
  };
  std::vector<bench::Variant> variants;
  for (const bench::Variant& variant : bench::variants_of(net)) {
    if (variant.name == "plain") {
      variants.push_back({variant.name, averaged(variant.step)});
    } else if (variant.name == bench::last_layer_floor || variant.name == bench::trunk_floor) {
      variants.push_back(variant);
    }
  }
  std::vector<Sent> sent;
  std::vector<std::shared_ptr<bench::Calibrated>> calibrated;
  using fuller::Surface;
  const std::pair<const char*, Surface> surfaces[] = {{"representation/IMTL-G", Surface::representation},
                                                      {"last_shared/IMTL-G", Surface::last_shared},
                                                      {"all_shared/IMTL-G", Surface::all_shared}};
  for (const auto& [name, surface] : surfaces) {
    fuller::CalibrationOptions options;
    options.surface = surface;
    options.ranks = fuller::ranks_of(of_calibration);
    calibrated.push_back(std::make_shared<bench::Calibrated>(net, fuller::IMTL_G(), options));
    variants.push_back({name, averaged([state = calibrated.back()] { state->plain_trunk(); })});
  }
  std::vector<bench::Measured> results(variants.size());
  for (std::size_t v = 0; v < variants.size(); ++v) {
    results[v].name = variants[v].name;
    net.drop_gradients();
    variants[v].step();
  }
  std::int64_t gradients = 0;
  for (const torch::Tensor& parameter : parameters) {
    gradients += static_cast<std::int64_t>(parameter.nbytes());
  }
  for (std::size_t k = 0; k < calibrated.size(); ++k) {
    sent.push_back({surfaces[k].first, calibrated[k]->calibration.diagnostics().bytes_averaged, gradients});
  }
  bench::Together together;
  together.clock = fuller::Clock::wall;  // a rank that waits for the other takes no time of its processor
  together.agree = [&of_trainer](bool mine) {
    std::vector<torch::Tensor> all{torch::tensor({mine ? 1.0 : 0.0})};
    of_trainer->allreduce(all)->wait();
    return all.front().item<double>() == ranks_here;
  };
  bench::measure_time(net, variants, seconds, results, together);
  if (rank != 0) {
    return;
  }
  const std::string network = kind.trunk + (kind.heavy ? "/heavy" : "/light") + "/T:" + std::to_string(kind.tasks);
  for (const bench::Measured& one : results) {
    std::printf("measured   %-16s %-24s %.3f (%.3f to %.3f) of the plain step\n", network.c_str(), one.name.c_str(),
                one.time.ratio, one.time.low, one.time.high);
  }
  for (const Sent& one : sent) {
    std::printf("sent       %-16s %-24s %lld bytes, beside %lld of gradients\n", network.c_str(), one.name.c_str(),
                static_cast<long long>(one.by_calibration), static_cast<long long>(one.gradients));
    predict(network, one);
  }
}

int run_rank(int rank, const std::string& file, double seconds) {
  at::set_num_threads(1);
  bench::one_blas_thread();
  const Store store = c10::make_intrusive<c10d::FileStore>(file, ranks_here);
  const Group of_trainer = gloo_group(store, "trainer", rank);
  const Group of_calibration = gloo_group(store, "calibration", rank);
  for (const char* trunk : {"conv", "wide"}) {
    for (const int tasks : {2, 4}) {
      measure({trunk, /*heavy=*/false, tasks}, seconds, rank, of_trainer, of_calibration);
    }
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 20;
  if (!(seconds > 0) || argc > 2) {
    std::cerr << "ranks_bench [SECONDS for each network]\n";
    return 2;
  }
  const std::string file = (std::filesystem::temp_directory_path() / ("fuller_ranks_bench_" + std::to_string(getpid()))).string();
  std::printf("%s, LibTorch %s, %s: %d ranks over Gloo on this machine, one thread each\n", bench::cpu_model().c_str(),
              TORCH_VERSION, bench::compiler().c_str(), ranks_here);
  std::fflush(stdout);
  int worst = 0;
  for (int rank = 0; rank < ranks_here; ++rank) {
    if (fork() == 0) {
      try {
        std::exit(run_rank(rank, file, seconds));
      } catch (const std::exception& error) {
        std::cerr << "rank " << rank << ": " << error.what() << '\n';
        std::exit(1);
      }
    }
  }
  for (int rank = 0; rank < ranks_here; ++rank) {
    int status = 0;
    wait(&status);
    worst = status == 0 ? worst : 1;
  }
  std::filesystem::remove(file);
  return worst;
}
