// SPDX-License-Identifier: Apache-2.0
// Ranks that are processes, over a file, over TCP, and over Gloo where its headers are there: they find what one trainer with all
// samples does, and where one of them dies or stops, at any point of a step, the others end in time and say which it was.
#include <cstdlib>
#include <memory>
#include <optional>

#include <torch/csrc/distributed/c10d/FileStore.hpp>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>
#if defined(FULLER_TEST_GLOO)
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#include <torch/torch.h>

#include <fuller/distributed/ranks.hpp>
#include <fuller/fuller.hpp>

#include "support/calibrated.hpp"
#include "support/catch.hpp"
#include "support/rank_processes.hpp"
#include "support/ranked_network.hpp"
#include "support/steps.hpp"

namespace ranks_processes_test {

using namespace std::chrono_literals;
using fuller::Calibration;
using fuller::CalibrationOptions;
using fuller::Ranks;
using fuller::Surface;
using fuller::testing::append;
using fuller::testing::ranked_schedule;
using fuller::testing::ranked_tasks;
using fuller::testing::ranked_training;
using fuller::testing::RankedNetwork;
using fuller::testing::RankedTrace;
using fuller::testing::RankPart;
using fuller::testing::RankProcesses;
using fuller::testing::TemporaryFolder;
using fuller::testing::Tensor;
using fuller::testing::Tensors;

const std::vector<std::string> names{"a", "b", "c"};

std::string variable(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

using Store = c10::intrusive_ptr<c10d::Store>;

/// The store of this process: a file, or a server of rank 0 that writes its port into a file.
Store store_of_process(const std::string& folder, int rank, int size, bool tcp) {
  if (!tcp) {
    return c10::make_intrusive<c10d::FileStore>(folder + "/store", size);
  }
  c10d::TCPStoreOptions options;
  options.numWorkers = static_cast<std::size_t>(size);
  options.waitWorkers = false;
  options.timeout = 60s;
  if (rank == 0) {
    options.isServer = true;
    options.port = 0;
    auto server = c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
    std::ofstream(folder + "/port.new") << server->getPort() << '\n';
    std::rename((folder + "/port.new").c_str(), (folder + "/port").c_str());
    return server;
  }
  std::string port;
  for (int k = 0; k < 6000 && port.empty(); ++k) {
    std::this_thread::sleep_for(10ms);
    port = fuller::testing::text_of(folder + "/port");
  }
  options.port = static_cast<std::uint16_t>(std::stoi(port));
  return c10::make_intrusive<c10d::TCPStore>("127.0.0.1", options);
}

/// The ranks of this process, once all of them are there.
Ranks ranks_of_process(const std::string& transport, std::chrono::milliseconds timeout, Store& store) {
  const std::string folder = variable("FULLER_TEST_FOLDER");
  const int rank = std::stoi(variable("RANK"));
  const int size = std::stoi(variable("WORLD_SIZE"));
  store = store_of_process(folder, rank, size, transport == "tcp");
  fuller::RanksOptions patient;
  patient.name = "start";
  patient.timeout = 120s;
  Tensors all_here{torch::zeros({1})};
  const Ranks start = fuller::ranks_over(store, rank, size, patient);
  start.average(all_here);
  fuller::RanksOptions options;
  options.timeout = timeout;
#if defined(FULLER_TEST_GLOO)
  if (transport == "gloo") {
    auto how = c10d::ProcessGroupGloo::Options::create();
    how->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1"));
    how->timeout = timeout;
    how->threads = 1;
    auto group =
        c10::make_intrusive<c10d::ProcessGroupGloo>(c10::make_intrusive<c10d::PrefixStore>("gloo", store), rank, size, how);
    return fuller::ranks_of(group, store, options);
  }
#endif
  return fuller::ranks_over(store, rank, size, options);
}

/// Everything that two processes compare with one trainer: rules of every kind at their own surfaces in double, and what else
/// there is once. Four do the latter alone.
template <class F>
void for_each_training(int ranks, const F& f) {
  if (ranks == 2) {
    fuller::testing::for_rules_of_every_kind(ranked_tasks, [&](const auto& rule) {
      const bool reads_losses = std::decay_t<decltype(rule)>::needs.losses;
      f([&](CalibrationOptions options) { return Calibration(rule, names, std::move(options)); }, CalibrationOptions(),
        torch::kDouble, false, !reads_losses);
    });
  }
  const auto imtl = [](CalibrationOptions options) { return Calibration(fuller::IMTL_G(), names, std::move(options)); };
  for (const Surface surface : {Surface::representation, Surface::all_shared}) {
    CalibrationOptions options;
    options.surface = surface;
    f(imtl, options, torch::kDouble, false, true);
    f(imtl, options, torch::kFloat, surface == Surface::all_shared, true);
  }
}

TEST_CASE("a rank that trains", "[.train]") {
  torch::set_num_threads(1);
  const std::string folder = variable("FULLER_TEST_FOLDER");
  Store store;
  const Ranks ranks = ranks_of_process(variable("FULLER_TEST_TRANSPORT"), 60s, store);
  Tensors out;
  for_each_training(
      ranks.count, [&](const auto& make, const CalibrationOptions& options, torch::Dtype type, bool joint, bool partial) {
        const RankedTrace trace = ranked_training(make, options, ranks, type, joint, ranked_schedule(ranks.count, partial));
        out.push_back(torch::tensor(trace.weights, torch::kDouble));
        out.push_back(torch::tensor(trace.gates, torch::kDouble));
        append(out, trace.gradients);
      });
  torch::save(out, folder + "/out." + std::to_string(ranks.rank));
  fuller::leave(store, ranks.rank, ranks.count);
}

void expect_one_big_batch(const std::string& transport, int size) {
  torch::set_num_threads(1);
  const TemporaryFolder folder;
  RankProcesses processes(size, "[.train]", folder, {"FULLER_TEST_TRANSPORT=" + transport});
  Tensors expected;
  std::vector<double> tolerance;
  for_each_training(size, [&](const auto& make, const CalibrationOptions& options, torch::Dtype type, bool joint, bool partial) {
    const RankedTrace trace = ranked_training(make, options, {}, type, joint, ranked_schedule(size, partial));
    expected.push_back(torch::tensor(trace.weights, torch::kDouble));
    expected.push_back(torch::tensor(trace.gates, torch::kDouble));
    append(expected, trace.gradients);
    tolerance.resize(expected.size(), type == torch::kDouble ? 1e-12 : 1e-6);
  });
  Tensors first;
  for (int rank = 0; rank < size; ++rank) {
    INFO("rank " << rank << " of " << size << " over " << transport << ": "
                 << fuller::testing::text_of(folder / ("log." + std::to_string(rank))));
    REQUIRE(processes.wait(rank, 240s) == 0);
    Tensors got;
    torch::load(got, folder / ("out." + std::to_string(rank)));
    REQUIRE(got.size() == expected.size());
    first = rank == 0 ? got : first;
    double worst = 0;
    for (std::size_t k = 0; k < got.size(); ++k) {
      CHECK(got[k].equal(first[k]));
      // Of the step's length: a parameter's gradient may be a small difference of large ones.
      worst = std::max(worst, fuller::testing::difference({got[k]}, {expected[k]}) / tolerance[k]);
    }
    CHECK(worst < 20);
  }
}

TEST_CASE("ranks that are processes find the weights, gates and gradients of the one big batch", "[ranks]") {
  SECTION("two, over a file") { expect_one_big_batch("file", 2); }
  SECTION("four, over TCP") { expect_one_big_batch("tcp", 4); }
#if defined(FULLER_TEST_GLOO)
  SECTION("two, over Gloo") { expect_one_big_batch("gloo", 2); }
  SECTION("four, over Gloo") { expect_one_big_batch("gloo", 4); }
#endif
}

/// Dies, or stops, at a point of the third step.
TEST_CASE("a rank that may die", "[.dies]") {
  torch::set_num_threads(1);
  const std::string folder = variable("FULLER_TEST_FOLDER");
  const std::string point = variable("FULLER_TEST_POINT");
  Store store;
  Ranks ranks = ranks_of_process(variable("FULLER_TEST_TRANSPORT"), 3s, store);
  const bool victim = ranks.rank == 1;
  const auto die = [&] {
    if (victim) {
      raise(point == "stopped" ? SIGSTOP : SIGKILL);
    }
  };
  int step = 0;
  int reductions = 0;
  ranks.average = [&, plain = ranks.average](Tensors& tensors) {
    if (step == 2 && ++reductions == 2 && (point == "reduction" || point == "stopped")) {
      die();
    }
    plain(tensors);
  };
  std::string said;
  try {
    CalibrationOptions options;
    options.ranks = ranks;
    RankedNetwork net(torch::kDouble, false);
    Calibration calibration(fuller::IMTL_G(), names, options);
    calibration.modalities(fuller::ModalityGate(), {"left", "right"});
    const Tensor batch = torch::linspace(-2, 2, 36, torch::kDouble).view({12, 3});
    for (; step < 4; ++step) {
      const Tensors errors = net.errors(calibration, batch, torch::ones({12, 1}, torch::kDouble));
      if (step == 2 && point == "before sum") {
        die();
      }
      const Tensor loss = errors[0].mean();
      if (point == "backward") {
        loss.register_hook([&](const Tensor& gradient) {
          if (step == 2) {
            die();
          }
          return gradient;
        });
      }
      calibration.sum({loss, errors[1].mean(), errors[2].mean()}).backward();
      if (step == 2 && point == "between steps") {
        die();
      }
    }
  } catch (const std::exception& error) {
    said = error.what();
  }
  std::ofstream(folder + "/said." + std::to_string(ranks.rank)) << step << ' ' << said << '\n';
  for (int k = 0; k < 3000 && ranks.rank == 0 && fuller::testing::text_of(folder + "/said.2").empty(); ++k) {
    std::this_thread::sleep_for(10ms);  // it serves the store, which the other asks who has not come
  }
}

TEST_CASE("where a rank dies or stops, at any point of a step, the others end in time and name it", "[ranks]") {
  std::vector<std::pair<std::string, std::string>> cases;
  for (const char* point : {"before sum", "backward", "reduction", "between steps"}) {
    cases.emplace_back("tcp", point);
  }
#if defined(FULLER_TEST_GLOO)
  cases.emplace_back("gloo", "reduction");
  cases.emplace_back("gloo", "stopped");
#else
  cases.emplace_back("tcp", "stopped");
#endif
  // All at the same time: most of it is waiting.
  std::vector<std::unique_ptr<TemporaryFolder>> folders;
  std::vector<std::unique_ptr<RankProcesses>> all;
  for (const auto& [transport, point] : cases) {
    folders.push_back(std::make_unique<TemporaryFolder>());
    all.push_back(std::make_unique<RankProcesses>(
        3, "[.dies]", *folders.back(),
        std::vector<std::string>{"FULLER_TEST_TRANSPORT=" + transport, "FULLER_TEST_POINT=" + point}));
  }
  for (std::size_t k = 0; k < cases.size(); ++k) {
    INFO(cases[k].second << " over " << cases[k].first);
    const std::string step = cases[k].second == "between steps" ? "3" : "2";
    for (const int rank : {0, 2}) {
      REQUIRE(all[k]->wait(rank, 240s) == 0);
      const std::string said = fuller::testing::text_of(*folders[k] / ("said." + std::to_string(rank)));
      INFO(said);
      for (const std::string& part :
           {step + " fuller: rank " + std::to_string(rank) + " of 3: in step " + step, std::string("rank 1 did not come"),
            std::string(cases[k].second == "reduction" || cases[k].second == "stopped" ? "the task gradients"
                                                                                       : "what the ranks are about to do")}) {
        INFO("lacks: " << part);
        CHECK(fuller::testing::contains(said, part));
      }
    }
  }
}

}  // namespace ranks_processes_test
