// SPDX-License-Identifier: Apache-2.0
// The program itself on several ranks, which are killed, stopped and resumed.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <csignal>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/tests/support/program_run.hpp"
#include "bevfusion/tests/support/tiny_run.hpp"
#include "support/catch.hpp"

namespace ranked_program_test {

using bevfusion::testing::content_of;
using bevfusion::testing::log_lines;
using bevfusion::testing::run_program;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;
using Words = std::vector<std::string>;
namespace fs = std::filesystem;

Words operator+(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

/// A data set with one sample to train on, and one to evaluate.
struct OneSample {
  OneSample() {
    bevfusion::SynthOptions options = bevfusion::SynthOptions::tiny();
    options.out = folder.path();
    options.scenes = 2;
    options.samples = 1;
    options.sweeps = 1;
    options.seed = 4;
    options.validation_share = 0.5;
    bevfusion::generate(options);
  }
  TemporaryFolder folder;
};

/// The largest difference of two networks' parameters, over the largest of how far they have come.
double difference(const bevfusion::Network& a, const bevfusion::Network& b, const bevfusion::Network& begun) {
  double apart = 0;
  double way = 0;
  for (std::size_t k = 0; k < a->parameters().size(); ++k) {
    apart = std::max(apart, (a->parameters()[k] - b->parameters()[k]).abs().max().item<double>());
    way = std::max(way, (a->parameters()[k] - begun->parameters()[k]).abs().max().item<double>());
  }
  return apart / way;
}

// Where all samples of a batch are the same one, batch norm and the detection loss see the same on each rank as in one process.
TEST_CASE("a run of two ranks on batches of equal samples is that of one process", "[bevfusion][ranks]") {
  const OneSample data;
  const TemporaryFolder folder;
  const auto words = [&](const std::string& out) {
    return Words{BEVFUSION_PROGRAM,
                 "train",
                 "--out",
                 folder.path() / out,
                 "--size",
                 "tiny",
                 "--data.root",
                 data.folder.path(),
                 "--data.sampling",
                 "class_balanced",
                 "--loading.sweeps",
                 "1",
                 "--loading.augment",
                 "false",
                 "--model.detection.dropout",
                 "0",
                 "--model.segmentation.dropout",
                 "0",
                 "--training.optimizer",
                 "sgd",
                 "--training.epochs",
                 "1",
                 "--training.batch",
                 "3"};
  };
  const auto one = run_program(words("one"));
  INFO(one.err);
  REQUIRE(one.code == 0);
  const auto two = run_program(words("two") + Words{"--ranks", "2"});
  INFO(two.err);
  REQUIRE(two.code == 0);
  CHECK(two.out.find("ranks       2, by ") != std::string::npos);
  CHECK(two.out.find("training is complete") != std::string::npos);
  CHECK(two.err.find("rank 1: ") == std::string::npos);  // nobody else has anything to say

  const bevfusion::RunConfig config = bevfusion::read_run_config(folder.path() / "one");
  const bevfusion::Network of_one = bevfusion::testing::network_in(folder.path() / "one", config);
  const bevfusion::Network of_two = bevfusion::testing::network_in(folder.path() / "two", config);
  CHECK(difference(of_one, of_two, bevfusion::make_network(config)) < 1e-3);
  const auto lines = log_lines(folder.path() / "one");
  const auto divided = log_lines(folder.path() / "two");
  REQUIRE(lines.size() == divided.size());
  REQUIRE(lines.size() > 2);
  CHECK(divided.front().at("ranks") == 2);
  CHECK_FALSE(lines.front().contains("ranks"));
  for (std::size_t k = 1; k < lines.size(); ++k) {
    INFO(lines[k] << '\n' << divided[k]);
    REQUIRE(lines[k].at("kind") == divided[k].at("kind"));
    if (lines[k].at("kind") == "step") {
      for (const char* group : {"losses", "weights", "norms"}) {
        for (const auto& [task, value] : lines[k].at(group).items()) {
          CHECK(divided[k].at(group).at(task).get<double>() == Approx(value.get<double>()).epsilon(1e-3));
        }
      }
    }
  }
  CHECK(fs::exists(folder.path() / "two" / "evaluation.json"));
}

/// The program, started in the background with its words in files.
class Running {
 public:
  Running(const Words& words, const fs::path& said) : said_(said) {
    process_ = fork();
    if (process_ == 0) {
      std::vector<char*> arguments;
      for (const std::string& word : words) {
        arguments.push_back(const_cast<char*>(word.c_str()));
      }
      arguments.push_back(nullptr);
      if (std::freopen(said.c_str(), "w", stdout) == nullptr || dup2(STDOUT_FILENO, STDERR_FILENO) < 0) {
        _exit(126);
      }
      execv(arguments.front(), arguments.data());
      _exit(127);
    }
  }
  ~Running() {
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
  }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

  pid_t process() const { return process_; }
  std::string said() const { return content_of(said_); }

  /// The process of a rank, by its environment; 0 where there is none.
  pid_t rank(int which) const {
    const std::string process = std::to_string(process_);
    std::ifstream children("/proc/" + process + "/task/" + process + "/children");
    for (pid_t child = 0; children >> child;) {
      const std::string environment = content_of("/proc/" + std::to_string(child) + "/environ");
      if (environment.find(std::string("\0RANK=", 6) + std::to_string(which) + '\0') != std::string::npos) {
        return child;
      }
    }
    return 0;
  }

  /// Exit status; less a signal's number where one ended it; -1000 where it has not ended in time.
  int wait(std::chrono::seconds limit) {
    const auto end = std::chrono::steady_clock::now() + limit;
    int status = 0;
    while (waitpid(process_, &status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > end) {
        return -1000;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    process_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }

 private:
  pid_t process_ = -1;
  fs::path said_;
};

/// Two epochs of five batches of two samples, one for each rank.
Words two_epochs(const fs::path& out, const Words& more) {
  return Words{BEVFUSION_PROGRAM,
               "train",
               "--out",
               out,
               "--size",
               "tiny",
               "--data.root",
               TinyData::get().folder.path(),
               "--loading.sweeps",
               "1",
               "--training.epochs",
               "2",
               "--training.batch",
               "2",
               "--training.checkpoint_every",
               "1"} +
         more;
}

void wait_for_lines(const fs::path& run, std::ptrdiff_t lines) {
  const auto there = [&run] {
    const std::string log = content_of(run / "log.jsonl");
    return std::count(log.begin(), log.end(), '\n');
  };
  for (int k = 0; k < 12000 && there() < lines; ++k) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
}

TEST_CASE("a run of ranks, stopped and resumed, is the one that was left alone, and goes on with another number of ranks",
          "[.slow][ranks]") {
  const TemporaryFolder folder;
  REQUIRE(run_program(two_epochs(folder.path() / "whole", {"--ranks", "2"})).code == 0);
  const auto resumed = [&](const std::string& out, const Words& more) {
    REQUIRE(run_program(two_epochs(folder.path() / out, {"--ranks", "2", "--steps", "3"})).code == 0);
    const auto end = run_program(Words{BEVFUSION_PROGRAM, "train", "--out", folder.path() / out, "--resume"} + more);
    INFO(end.err);
    REQUIRE(end.code == 0);
    CHECK(end.out.find("resuming    after step 3") != std::string::npos);
  };
  resumed("parted", {"--ranks", "2"});
  const bevfusion::RunConfig config = tiny_config();
  const auto network = [&](const std::string& out) { return bevfusion::testing::network_in(folder.path() / out, config); };
  CHECK(bevfusion::testing::equal(network("parted"), network("whole")));
  CHECK(log_lines(folder.path() / "parted") == log_lines(folder.path() / "whole"));
  for (const Words& more : {Words{}, Words{"--ranks", "3"}}) {
    const std::string out = "then" + std::to_string(more.size());
    resumed(out, more);
    CHECK(log_lines(folder.path() / out).size() == log_lines(folder.path() / "whole").size());
  }
}

TEST_CASE("a rank that is killed or stops ends the run, which says which, and goes on from its checkpoint", "[.slow][ranks]") {
  for (const bool killed : {true, false}) {
    INFO((killed ? "killed" : "stopped"));
    const TemporaryFolder folder;
    const fs::path out = folder.path() / "run";
    Running run(two_epochs(out, {"--ranks", "2", "--rank-timeout", "20"}), folder.path() / "said");
    wait_for_lines(out, 4);
    const pid_t victim = run.rank(1);
    REQUIRE(victim > 0);
    kill(victim, killed ? SIGKILL : SIGSTOP);
    const int code = run.wait(std::chrono::seconds(120));
    INFO(run.said());
    CHECK(code == (killed ? 128 + SIGKILL : 1));
    const std::string expected = killed ? "rank 1 was ended by signal 9 (Killed)" : "rank 1 did not come";
    CHECK(run.said().find(expected) != std::string::npos);
    CHECK(kill(victim, 0) != 0);
    const auto end = run_program({BEVFUSION_PROGRAM, "train", "--out", out, "--resume", "--ranks", "2"});
    INFO(end.err);
    CHECK(end.code == 0);
    CHECK(log_lines(out).size() == 1 + 2 * (5 + 1));
  }
}

TEST_CASE("a signal to the program that started them ends all ranks", "[.slow][ranks]") {
  const TemporaryFolder folder;
  Running run(two_epochs(folder.path() / "run", {"--ranks", "2"}), folder.path() / "said");
  wait_for_lines(folder.path() / "run", 3);
  const pid_t ranks[2] = {run.rank(0), run.rank(1)};
  REQUIRE((ranks[0] > 0 && ranks[1] > 0));
  kill(run.process(), SIGTERM);
  CHECK(run.wait(std::chrono::seconds(30)) == 128 + SIGTERM);
  for (const pid_t rank : ranks) {
    CHECK(kill(rank, 0) != 0);
  }
}

TEST_CASE("ranks that cannot be are refused in words", "[.slow][ranks]") {
  const TemporaryFolder folder;
  const auto refused = [&](const Words& more, const std::vector<std::pair<const char*, const char*>>& environment) {
    bevfusion::testing::Circumstances how;
    how.in_child = [&environment] {
      for (const auto& [name, value] : environment) {
        setenv(name, value, 1);
      }
    };
    const auto end = run_program(two_epochs(folder.path() / "run", more), how);
    CHECK(end.code != 0);
    return end.err;
  };
  CHECK(refused({}, {{"RANK", "0"}}).find("WORLD_SIZE is not set") != std::string::npos);
  CHECK(refused({"--ranks", "2"}, {{"RANK", "0"}, {"WORLD_SIZE", "3"}, {"MASTER_ADDR", "127.0.0.1"}, {"MASTER_PORT", "1"}})
            .find("--ranks 2 under a launcher that has set WORLD_SIZE to 3") != std::string::npos);
  // What one rank finds, all of them end with: rank 0 sees that the folder holds a run.
  fs::create_directories(folder.path() / "run");
  std::ofstream(folder.path() / "run" / "log.jsonl") << "{}\n";
  const std::string said = refused({"--ranks", "2"}, {});
  INFO(said);
  CHECK(said.find("bevfusion: " + (folder.path() / "run").string() + " holds a run already") != std::string::npos);
  CHECK(said.find("rank 1: bevfusion: rank 0 of 2 has ended: ") != std::string::npos);
}

}  // namespace ranked_program_test
