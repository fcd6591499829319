// SPDX-License-Identifier: Apache-2.0
// A run that was stopped at any moment and resumed equals the uninterrupted one bit for bit.
#include <chrono>
#include <csignal>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include <sys/wait.h>
#include <unistd.h>

#include "bevfusion/tests/support/tiny_run.hpp"
#include "support/catch.hpp"

namespace {

using bevfusion::testing::log_lines;
using bevfusion::testing::TemporaryFolder;
using bevfusion::testing::tiny_config;
using bevfusion::testing::TinyData;
namespace fs = std::filesystem;

/// One call of the trainer in a folder, after which nothing of it is left but the folder.
bevfusion::TrainingOutcome run(const bevfusion::RunConfig& config, const fs::path& folder, bool resume, std::int64_t most_steps) {
  bevfusion::TrainerOptions options;
  options.out = folder;
  options.resume = resume;
  options.most_steps = most_steps;
  options.evaluate = [](bevfusion::Network&) {
    torch::rand({5});  // an evaluation may draw random numbers
    bevfusion::EvaluationFigures figures;
    figures.samples = 1;
    return figures;
  };
  bevfusion::Network network = bevfusion::make_network(config);
  return bevfusion::Trainer(config, network, TinyData::get().tables, TinyData::get().training, options).run();
}

void expect_equal_after_stops(const bevfusion::RunConfig& config, const std::vector<std::int64_t>& stops) {
  const TemporaryFolder whole;
  CHECK(run(config, whole.path(), false, -1).finished);
  const bevfusion::Network expected = bevfusion::testing::network_in(whole.path(), config);
  for (const std::int64_t stop : stops) {
    INFO("stopped after " << stop << " steps");
    const TemporaryFolder parted;
    CHECK_FALSE(run(config, parted.path(), false, stop).finished);
    torch::manual_seed(12345);  // whatever another program would leave behind
    CHECK(run(config, parted.path(), true, -1).finished);
    CHECK(bevfusion::testing::equal(bevfusion::testing::network_in(parted.path(), config), expected));
    CHECK(log_lines(parted.path()) == log_lines(whole.path()));
  }
}

TEST_CASE("IMTL-G with gates on updates, accumulating: resumed after any step", "[bevfusion][training][resume]") {
  bevfusion::RunConfig config = tiny_config();
  config.calibration.gate = "update";
  config.training.accumulate = 2;  // 5 batches: steps of 2, 2 and 1
  expect_equal_after_stops(config, {1, 3, 4});
}

TEST_CASE("wPCGrad with its random orders and epoch means, on parted labels: resumed", "[bevfusion][training][resume]") {
  bevfusion::RunConfig config = tiny_config();
  config.calibration.rule = "wpcgrad";
  config.data.labels = "disjoint_balance";
  expect_equal_after_stops(config, {3, 7});
}

TEST_CASE("GradNorm in bfloat16, gradients gated: resumed", "[bevfusion][training][resume]") {
  bevfusion::RunConfig config = tiny_config();
  config.calibration.rule = "gradnorm";
  config.training.precision = "bfloat16";
  expect_equal_after_stops(config, {4});
}

TEST_CASE("SGD, sensors dropped, one task a batch, averaged over steps: resumed", "[bevfusion][training][resume][average]") {
  bevfusion::RunConfig config = tiny_config();
  config.training.optimizer = "sgd";
  config.training.average = "ema";
  config.training.modality_dropout = 0.5;
  config.data.labels = "disjoint_normal";
  config.data.one_task_batches = true;
  check(config);
  expect_equal_after_stops(config, {3});
}

TEST_CASE("the mean over the ends of epochs: resumed, and evaluated in the last step's place",
          "[bevfusion][training][resume][average]") {
  bevfusion::RunConfig config = tiny_config();
  config.training.average = "last";
  config.training.average_epochs = 2;
  check(config);
  expect_equal_after_stops(config, {7});
  const TemporaryFolder folder;
  run(config, folder.path(), false, -1);
  bevfusion::Network averaged = bevfusion::make_network(config);
  bevfusion::Network last = bevfusion::make_network(config);
  CHECK(bevfusion::load_network(folder.path() / "checkpoint.pt", averaged));
  CHECK_FALSE(bevfusion::load_network(folder.path() / "checkpoint.pt", last, bevfusion::Weights::last_step));
  CHECK_FALSE(bevfusion::testing::equal(averaged, last));
}

TEST_CASE("the state of another optimiser is refused in words", "[bevfusion][training][resume]") {
  bevfusion::RunConfig config = tiny_config();
  config.training.epochs = 1;
  const TemporaryFolder folder;
  run(config, folder.path(), false, -1);
  config.training.optimizer = "sgd";
  try {
    run(config, folder.path(), true, -1);
    FAIL("a run of AdamW went on with SGD");
  } catch (const std::runtime_error& error) {
    CHECK(std::string(error.what()).find("training.optimizer adamw, and this run's is sgd") != std::string::npos);
  }
}

TEST_CASE("a run that is complete stays as it is", "[bevfusion][training][resume]") {
  bevfusion::RunConfig config = tiny_config();
  config.training.epochs = 1;
  const TemporaryFolder folder;
  CHECK(run(config, folder.path(), false, -1).finished);
  const auto lines = log_lines(folder.path());
  const auto again = run(config, folder.path(), true, -1);
  CHECK((again.finished && again.steps == 0));
  CHECK(log_lines(folder.path()) == lines);
}

TEST_CASE("a checkpoint of something else is refused in words", "[bevfusion][training][resume]") {
  bevfusion::RunConfig config = tiny_config();
  config.training.epochs = 1;
  const TemporaryFolder folder;
  run(config, folder.path(), false, -1);
  const auto refusal = [&folder](const bevfusion::RunConfig& other) -> std::string {
    bevfusion::Network network = bevfusion::make_network(other);
    try {
      bevfusion::load_network(folder.path() / "checkpoint.pt", network);
    } catch (const std::runtime_error& error) {
      return error.what();
    }
    return "";
  };
  CHECK(refusal(config).empty());
  bevfusion::RunConfig wider = config;
  wider.model.fused = 48;
  CHECK(refusal(wider).find("fuser") != std::string::npos);
  bevfusion::RunConfig one_task = config;
  one_task.model.parts.tasks["segmentation"] = false;
  CHECK(refusal(one_task).find("another network") != std::string::npos);
  // Cut short, and not of this kind at all.
  fs::resize_file(folder.path() / "checkpoint.pt", fs::file_size(folder.path() / "checkpoint.pt") / 2);
  CHECK(refusal(config).find("checkpoint.pt") != std::string::npos);
  std::ofstream(folder.path() / "checkpoint.pt") << "text";
  CHECK(refusal(config).find("checkpoint.pt") != std::string::npos);
  fs::remove(folder.path() / "checkpoint.pt");
  CHECK_FALSE(refusal(config).empty());
}

/// The program, started in the background.
pid_t start(const std::vector<std::string>& arguments) {
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    std::vector<char*> words;
    for (const std::string& argument : arguments) {
      words.push_back(const_cast<char*>(argument.c_str()));
    }
    words.push_back(nullptr);
    if (std::freopen("/dev/null", "w", stdout) == nullptr || std::freopen("/dev/null", "w", stderr) == nullptr) {
      _exit(126);
    }
    execv(words.front(), words.data());
    _exit(127);
  }
  return child;
}

int exit_code(pid_t child) {
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::size_t lines_in(const fs::path& file) {
  std::ifstream in(file);
  std::size_t lines = 0;
  for (std::string line; std::getline(in, line);) {
    ++lines;
  }
  return lines;
}

TEST_CASE("the program, killed and resumed again and again, equals the one left alone", "[bevfusion][training][resume]") {
  const TemporaryFolder folder;
  const auto command = [&folder](const std::string& out, bool resume) {
    std::vector<std::string> words{BEVFUSION_PROGRAM, "train", "--out", folder.path() / out};
    if (resume) {
      words.emplace_back("--resume");
    } else {
      for (const std::string& word :
           {std::string("--size"), std::string("tiny"), std::string("--data.root"), TinyData::get().folder.path().string(),
            std::string("--loading.sweeps"), std::string("1"), std::string("--training.epochs"), std::string("2"),
            std::string("--training.batch"), std::string("2"), std::string("--training.checkpoint_every"), std::string("1")}) {
        words.push_back(word);
      }
    }
    return words;
  };
  REQUIRE(exit_code(start(command("whole", false))) == 0);
  CHECK(exit_code(start(command("whole", false))) != 0);  // the folder holds a run

  bool resume = false;
  int kills = 0;
  for (const std::size_t lines : {2, 4, 9}) {
    const pid_t child = start(command("parted", resume));
    while (lines_in(folder.path() / "parted" / "log.jsonl") < lines && waitpid(child, nullptr, WNOHANG) == 0) {
      std::this_thread::sleep_for(std::chrono::milliseconds(2));
    }
    kill(child, SIGKILL);
    if (waitpid(child, nullptr, 0) == child) {
      ++kills;
    }
    resume = true;
  }
  CHECK(kills == 3);
  REQUIRE(exit_code(start(command("parted", true))) == 0);
  const bevfusion::RunConfig config = tiny_config();
  CHECK(bevfusion::testing::equal(bevfusion::testing::network_in(folder.path() / "parted", config),
                                  bevfusion::testing::network_in(folder.path() / "whole", config)));
  const auto lines = log_lines(folder.path() / "whole");
  CHECK(lines.size() == 1 + 2 * (5 + 1));  // the run, and each epoch's steps and evaluation
  CHECK(log_lines(folder.path() / "parted") == lines);
  CHECK(fs::exists(folder.path() / "parted" / "evaluation.json"));
  // A run goes on as it began.
  auto other = command("whole", true);
  other.insert(other.end(), {"--training.learning_rate", "0.5"});
  CHECK(exit_code(start(other)) != 0);
}

}  // namespace
