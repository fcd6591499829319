// SPDX-License-Identifier: Apache-2.0
// What calibration costs a data-parallel step: two ranks on this machine over Gloo, each a process of one thread. The calibrated
// step and the plain one, both with their gradients averaged afterwards, in turn, by elapsed time and by the processor time of a
// rank's thread; and what a model of the network makes of the bytes that they send, on more ranks than there are here.
//
//   ranks_bench [SECONDS] [FILE]      for each network (default 20); FILE: the same as JSON, which scripts/quote_results quotes
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

/// What ranks tell each other before they reduce anything: the doubles of each.
constexpr std::int64_t meeting_numbers = 15;
double meeting_bytes(int ranks) { return 8.0 * meeting_numbers * ranks; }

/// Bytes that a rank gives to averages in one step.
struct Sent {
  std::string name;
  double compared = 0;  ///< what is compared; the ranks' meeting comes on top
  double gradients = 0;
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
  double latency;  ///< of a message, seconds
};
constexpr Interconnect interconnects[] = {{8, 200e9, 5e-6}, {64, 20e9, 20e-6}};

/// What a calibrated step waits for beside what a plain one does: the ranks' meeting, and the average of what is compared.
double seconds_more(const Interconnect& by, double compared) {
  const auto seconds = [&](double bytes) { return ring(bytes, by.ranks, by.bytes_a_second, by.latency); };
  return seconds(meeting_bytes(by.ranks)) + seconds(compared);
}

/// Networks of a size that is trained on many GPUs: two tasks, 4 bytes a parameter.
constexpr double shared_parameters = 40e6;
constexpr double last_layer = 256 * 256 * 2 * 2;  // FULLER's: a deconvolution of 256 to 256 channels
constexpr double tasks = 2;

/// The bytes of each surface there, and what sharded parameters make of them: each rank holds 1 / R of the parameters, gathers
/// those of a layer when a pass comes to it, and keeps 1 / R of the gradients.
struct OnPaper {
  const char* surface;
  double compared;         ///< bytes averaged
  double gathered_again;   ///< bytes of parameters that its passes gather beside those of a plain step, where they are sharded
  double compared_shards;  ///< and bytes that are then averaged whole
  double scattered = 0;    ///< or of which each rank gets a share
};
constexpr OnPaper on_paper[] = {
    {"representation", 8 * tasks* tasks, 0, 8 * tasks* tasks},
    {"last_shared", 4 * tasks* last_layer, 4 * last_layer, 8 * tasks* tasks, 4 * tasks* last_layer},
    {"all_shared", 4 * tasks* shared_parameters, 4 * (tasks - 1) * shared_parameters, 8 * tasks* tasks,
     4 * (tasks - 1) * shared_parameters},
};

/// Half a ring: one of an all-gather and a reduce-scatter, of which an all-reduce consists.
double half_ring(double bytes, const Interconnect& by) {
  return bytes > 0 ? ring(bytes, by.ranks, by.bytes_a_second, by.latency) / 2 : 0;
}

/// Lines for people on the standard output, and the same as JSON.
class Results {
 public:
  explicit Results(const char* file) : json_(file == nullptr ? nullptr : std::fopen(file, "w")) {
    if (file != nullptr && json_ == nullptr) {
      throw std::runtime_error(std::string("cannot write ") + file);
    }
  }
  ~Results() {
    if (json_ != nullptr) {
      std::fprintf(json_, "\n]\n");
      std::fclose(json_);
    }
  }
  Results(const Results&) = delete;
  Results& operator=(const Results&) = delete;

  /// @param members  of a JSON object
  void add(const std::string& line, const std::string& members) {
    std::printf("%s\n", line.c_str());
    std::fflush(stdout);
    if (json_ != nullptr) {
      std::fprintf(json_, "%s{%s}", first_ ? "[\n" : ",\n", members.c_str());
      first_ = false;
    }
  }

 private:
  std::FILE* json_;
  bool first_ = true;
};

template <class... Values>
std::string text(const char* format, Values... values) {
  char buffer[512];
  std::snprintf(buffer, sizeof buffer, format, values...);
  return buffer;
}

void tell_interconnects_and_paper(Results& results) {
  for (const OnPaper& one : on_paper) {
    for (const Interconnect& by : interconnects) {
      const auto all = [&](double bytes) { return ring(bytes, by.ranks, by.bytes_a_second, by.latency); };
      const double plain = all(4 * shared_parameters);
      const double replicated = seconds_more(by, one.compared);
      const double plain_sharded = 3 * half_ring(4 * shared_parameters, by);  // gathered forward and backward; scattered
      const double sharded = all(meeting_bytes(by.ranks)) + all(one.compared_shards) + half_ring(one.gathered_again, by) +
                             half_ring(one.scattered, by);
      results.add(
          text("predicted  %-16s %2d ranks, %3.0f GB/s, %2.0f us a message: %8.3f ms more, beside %8.3f ms for the gradients; "
               "sharded %8.3f ms more, beside %8.3f ms",
               one.surface, by.ranks, by.bytes_a_second / 1e9, by.latency * 1e6, 1e3 * replicated, 1e3 * plain, 1e3 * sharded,
               1e3 * plain_sharded),
          text("\"kind\": \"predicted\", \"surface\": \"%s\", \"ranks\": %d, \"gigabytes_a_second\": %g, \"microseconds\": %g, "
               "\"tasks\": %g, \"parameters\": %.0f, \"last_layer\": %.0f, \"more_ms\": %.6g, \"gradients_ms\": %.6g, "
               "\"sharded_more_ms\": %.6g, \"sharded_plain_ms\": %.6g",
               one.surface, by.ranks, by.bytes_a_second / 1e9, by.latency * 1e6, tasks, shared_parameters, last_layer,
               1e3 * replicated, 1e3 * plain, 1e3 * sharded, 1e3 * plain_sharded));
    }
  }
}

/// The plain step, whose backward stops at z for so many averages that a calibrated one has there, and nothing else: what is left
/// of the time of such averages when nothing of fuller's runs.
void step_with_bare_averages(bench::Network& net, const Group& group, const std::vector<std::int64_t>& lengths) {
  const torch::Tensor z = net.shared();
  z.register_hook([&group, &lengths](const torch::Tensor&) {
    for (const std::int64_t length : lengths) {
      std::vector<torch::Tensor> numbers{torch::zeros(length, torch::kDouble)};
      group->allreduce(numbers)->wait();
    }
  });
  bench::naive::plain_backward(bench::naive::losses_of(net, z));
}

void measure(const bench::Network::Kind& kind, double seconds, int rank, const Group& of_trainer, const Group& of_calibration,
             Results& out) {
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
  const std::int64_t gram = std::int64_t{kind.tasks} * kind.tasks;
  const std::pair<const char*, std::vector<std::int64_t>> bare[] = {
      {"one bare average at z", {gram}}, {"two bare averages at z", {meeting_numbers * ranks_here, gram}}};
  for (const auto& [name, lengths] : bare) {
    variants.push_back(
        {name, averaged([&net, &of_calibration, lengths = lengths] { step_with_bare_averages(net, of_calibration, lengths); })});
  }
  std::vector<Sent> sent;
  std::vector<std::shared_ptr<bench::Calibrated>> calibrated;
  using fuller::Surface;
  /// What ranks do together beside the average of the gradients.
  enum class Ranks {
    nothing,   ///< each weighs by its own samples
    evidence,  ///< what is compared is averaged; they promise to be alike in each step
    all,       ///< and they meet before it
  };
  struct Case {
    const char* name;
    Surface surface;
    Ranks ranks;
  };
  const Case cases[] = {{"representation", Surface::representation, Ranks::all},
                        {"representation, alike", Surface::representation, Ranks::evidence},
                        {"representation, no ranks", Surface::representation, Ranks::nothing},
                        {"last_shared", Surface::last_shared, Ranks::all},
                        {"last_shared, alike", Surface::last_shared, Ranks::evidence},
                        {"last_shared, no ranks", Surface::last_shared, Ranks::nothing},
                        {"all_shared", Surface::all_shared, Ranks::all}};
  for (const auto& [name, surface, together_in] : cases) {
    fuller::CalibrationOptions options;
    options.surface = surface;
    if (together_in != Ranks::nothing) {
      options.ranks = fuller::ranks_of(of_calibration);
      options.ranks.alike = together_in == Ranks::evidence;
    }
    calibrated.push_back(std::make_shared<bench::Calibrated>(net, fuller::IMTL_G(), options));
    variants.push_back({name, averaged([state = calibrated.back()] { state->plain_trunk(); }), surface == Surface::all_shared});
  }
  std::vector<bench::Measured> results(variants.size());
  for (std::size_t v = 0; v < variants.size(); ++v) {
    results[v].name = variants[v].name;
    net.drop_gradients();
    variants[v].step();
  }
  double gradients = 0;
  for (const torch::Tensor& parameter : parameters) {
    gradients += static_cast<double>(parameter.nbytes());
  }
  for (std::size_t k = 0; k < calibrated.size(); ++k) {
    const auto all = static_cast<double>(calibrated[k]->calibration.diagnostics().bytes_averaged);
    if (cases[k].ranks == Ranks::all) {
      sent.push_back({cases[k].name, all - meeting_bytes(ranks_here), gradients});
    }
  }
  bench::Together together;
  together.clock = fuller::Clock::wall;  // a rank that waits for the other takes no time of its processor
  together.agree = [&of_trainer](bool mine) {
    std::vector<torch::Tensor> all{torch::tensor({mine ? 1.0 : 0.0})};
    of_trainer->allreduce(all)->wait();
    return all.front().item<double>() == ranks_here;
  };
  together.meet = [&together] { together.agree(true); };
  bench::measure_time(net, variants, seconds, results, together);
  std::vector<bench::Measured> processor = results;
  together.clock = fuller::Clock::thread;
  bench::measure_time(net, variants, seconds / 2, processor, together);
  if (rank != 0) {
    return;
  }
  const std::string network = kind.trunk + ", T = " + std::to_string(kind.tasks);
  for (std::size_t v = 0; v < results.size(); ++v) {
    const bench::Measured& one = results[v];
    const fuller::RatioInterval& busy = processor[v].time;
    out.add(text("measured   %-14s %-24s %.3f (%.3f to %.3f) of the plain step; of its processor time %.3f (%.3f to %.3f)",
                 network.c_str(), one.name.c_str(), one.time.ratio, one.time.low, one.time.high, busy.ratio, busy.low, busy.high),
            text("\"kind\": \"measured\", \"network\": \"%s\", \"variant\": \"%s\", \"milliseconds\": %.6g, \"ratio\": %.6g, "
                 "\"low\": %.6g, \"high\": %.6g, \"processor\": %.6g, \"processor_low\": %.6g, \"processor_high\": %.6g, "
                 "\"rounds\": %zu",
                 network.c_str(), one.name.c_str(), 1e3 * one.seconds, one.time.ratio, one.time.low, one.time.high, busy.ratio,
                 busy.low, busy.high, one.rounds));
  }
  for (const Sent& one : sent) {
    out.add(text("sent       %-14s %-24s %.0f bytes are compared, beside %.0f of gradients", network.c_str(), one.name.c_str(),
                 one.compared, one.gradients),
            text("\"kind\": \"sent\", \"network\": \"%s\", \"variant\": \"%s\", \"compared\": %.0f, \"gradients\": %.0f",
                 network.c_str(), one.name.c_str(), one.compared, one.gradients));
  }
}

int run_rank(int rank, const std::string& file, double seconds, const char* json) {
  at::set_num_threads(1);
  bench::one_blas_thread();
  const Store store = c10::make_intrusive<c10d::FileStore>(file, ranks_here);
  const Group of_trainer = gloo_group(store, "trainer", rank);
  const Group of_calibration = gloo_group(store, "calibration", rank);
  Results out(rank == 0 ? json : nullptr);
  if (rank == 0) {
    out.add(text("%s, LibTorch %s, %s: %d ranks over Gloo on this machine, one thread each", bench::cpu_model().c_str(),
                 TORCH_VERSION, bench::compiler().c_str(), ranks_here),
            text("\"kind\": \"machine\", \"cpu\": \"%s\", \"libtorch\": \"%s\", \"compiler\": \"%s\", \"ranks\": %d",
                 bench::cpu_model().c_str(), TORCH_VERSION, bench::compiler().c_str(), ranks_here));
  }
  for (const char* trunk : {"conv", "wide"}) {
    for (const int heads : {2, 4}) {
      measure({trunk, /*heavy=*/false, heads}, seconds, rank, of_trainer, of_calibration, out);
    }
  }
  if (rank == 0) {
    tell_interconnects_and_paper(out);
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const double seconds = argc > 1 ? std::strtod(argv[1], nullptr) : 20;
  if (!(seconds > 0) || argc > 3) {
    std::cerr << "ranks_bench [SECONDS for each network] [FILE]\n";
    return 2;
  }
  const std::string file = (std::filesystem::temp_directory_path() / ("fuller_ranks_bench_" + std::to_string(getpid()))).string();
  int worst = 0;
  for (int rank = 0; rank < ranks_here; ++rank) {
    if (fork() == 0) {
      try {
        std::exit(run_rank(rank, file, seconds, argc > 2 ? argv[2] : nullptr));
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
