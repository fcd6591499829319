// SPDX-License-Identifier: Apache-2.0
// An experiment's runs on good and bad days, with a program that stands in for the real one: stopped, killed, out of disk.
#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bevfusion/experiments/experiment_results.hpp"
#include "bevfusion/experiments/experiment_runner.hpp"
#include "bevfusion/experiments/known_runs.hpp"
#include "bevfusion/experiments/run_cost.hpp"
#include "bevfusion/tests/support/planned_experiments.hpp"
#include "support/catch.hpp"
#include "support/folder_lock.hpp"

namespace {

using namespace bevfusion;
using namespace bevfusion::testing;
namespace fs = std::filesystem;

/// An environment variable for as long as the object lives.
class Variable {
 public:
  Variable(const char* name, const std::string& value) : name_(name) { setenv(name, value.c_str(), 1); }
  ~Variable() { unsetenv(name_); }
  Variable(const Variable&) = delete;
  Variable& operator=(const Variable&) = delete;

 private:
  const char* name_;
};

/// The four ways at 1:1, one seed.
ExperimentOptions four_ways(const fs::path& out) {
  ExperimentOptions options = experiment_options(out, {"fuller_table_1"});
  options.rows = {"baseline_1", "intra_1", "inter_1", "both_1"};
  options.seeds = 1;
  return options;
}

ExperimentOutcome run(const ExperimentOptions& options) {
  ExperimentPlan plan = plan_experiments(options);
  std::FILE* nowhere = std::fopen("/dev/null", "w");
  ExperimentOutcome outcome;
  try {
    outcome = run_experiments(plan, nowhere);
  } catch (...) {
    std::fclose(nowhere);
    throw;
  }
  std::fclose(nowhere);
  write_experiments(plan);
  return outcome;
}

/// The checkpoints by folder: what the runs have learnt, without the length of the log.
std::map<std::string, std::string> learnt(const fs::path& out) {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::directory_iterator(out / "runs")) {
    std::ifstream in(entry.path() / "checkpoint.pt");
    std::string step, weights;
    in >> step >> weights;
    all[entry.path().filename().string()] = step + " " + weights;
  }
  return all;
}

/// Runs an experiment in a process of its own.
pid_t in_a_process(const ExperimentOptions& options, const std::function<void()>& prepare = {}) {
  const pid_t child = fork();
  if (child == 0) {
    if (prepare) {
      prepare();
    }
    int status = 1;
    try {
      const ExperimentOutcome outcome = run(options);
      status = outcome.signal != 0      ? 100 + outcome.signal
               : outcome.failed.empty() ? 0
                                        : 50 + static_cast<int>(outcome.failed.size());
    } catch (const std::exception&) {
      status = 2;
    }
    _exit(status);
  }
  return child;
}

int ended(pid_t process) {
  int status = 0;
  waitpid(process, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/// A row that is taught, with its teachers.
ExperimentOptions taught(const fs::path& out) {
  ExperimentOptions options = experiment_options(out, {"dmfuser"});
  options.rows = {"sum_kd"};
  options.seeds = 1;
  options.jobs = 3;
  return options;
}

/// Waits until some run has made a step beyond its first checkpoint; false after a minute.
bool wait_for_steps(const fs::path& out) {
  for (int i = 0; i < 6000; ++i) {
    std::error_code none;
    for (const auto& entry : fs::directory_iterator(out / "runs", none)) {
      const auto log = log_progress(entry.path());
      if (log && log->step > 6) {
        return true;
      }
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

std::size_t count_of(const std::vector<std::string>& lines, const std::string& beginning) {
  return static_cast<std::size_t>(
      std::count_if(lines.begin(), lines.end(), [&](const std::string& line) { return line.rfind(beginning, 0) == 0; }));
}

TEST_CASE("teachers are done before what they teach is begun", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const Variable ledger("FAKE_LEDGER", (folder.path() / "ledger").string());
  CHECK(run(taught(folder.path() / "out")).done == 3);  // a teacher that is not there ends the taught run badly
  const std::vector<std::string> lines = lines_of(folder.path() / "ledger");
  const std::string last = plan_experiments(taught(folder.path() / "out")).runs.back().run.folder.filename().string();
  const auto begun = std::find(lines.begin(), lines.end(), "train " + last);
  REQUIRE(begun != lines.end());
  CHECK(std::count_if(lines.begin(), begun, [](const std::string& line) { return line.rfind("eval ", 0) == 0; }) == 2);
}

TEST_CASE("what a failed teacher was to teach is not begun", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const std::string detection = (configs() / "detection_only.toml").string();
  {
    const Variable crash("FAKE_CRASH", detection);
    const ExperimentOutcome outcome = run(taught(folder.path() / "out"));
    CHECK(outcome.done == 1);
    REQUIRE(outcome.failed.size() == 2);
    CHECK(outcome.failed[0].first == "detection, seed 0");
    CHECK(outcome.failed[1].second.find("its teacher, detection, seed 0, failed") != std::string::npos);
  }
  CHECK(run(taught(folder.path() / "out")).done == 3);
}

TEST_CASE("everything is trained and evaluated once, for all experiments that ask for it", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const fs::path ledger = folder.path() / "ledger";
  const Variable said("FAKE_LEDGER", ledger.string());
  ExperimentOptions options = experiment_options(folder.path() / "out", {"fuller_table_1", "fuller_table_4"});
  options.quick = true;
  const ExperimentOutcome outcome = run(options);
  CHECK(outcome.failed.empty());
  CHECK(outcome.signal == 0);
  CHECK(outcome.done == 6);
  CHECK(count_of(lines_of(ledger), "train ") == 6);
  CHECK(count_of(lines_of(ledger), "eval ") == 6);
  CHECK(count_of(lines_of(ledger), "predict ") == 6);
  CHECK(count_of(lines_of(ledger), "synth") == 1);
  const FinishedExperiment first = read_experiment(options.out / "fuller_table_1");
  const FinishedExperiment fourth = read_experiment(options.out / "fuller_table_4");
  CHECK(first.runs.size() == 6);
  CHECK(first.sheet.place == "Table 1");
  CHECK(first.evaluation_samples == 80);
  for (const FinishedExperiment* experiment : {&first, &fourth}) {
    for (const ExperimentRun& one : experiment->runs) {
      CHECK(one.state == RunState::done);
      CHECK(one.peak_bytes > 1e5);
      CHECK(!one.machine.empty());
      CHECK(!one.commit.empty());
      CHECK(one.folder.parent_path() == (options.out / "runs").lexically_normal());
    }
  }
  CHECK(first.of_row("both_1").at(0)->folder == fourth.of_row("both").at(0)->folder);

  // Once more: nothing is left to do, the data set is there.
  CHECK(run(options).done == 6);
  CHECK(lines_of(ledger).size() == 19);
}

TEST_CASE("a run that lacks what a table of single sensors asks for is evaluated again, and not trained",
          "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const fs::path ledger = folder.path() / "ledger";
  const Variable said("FAKE_LEDGER", ledger.string());
  ExperimentOptions whole = four_ways(folder.path() / "out");
  whole.rows = {"baseline_1", "both_1"};
  CHECK(run(whole).done == 2);
  const std::map<std::string, std::string> before = learnt(whole.out);
  ExperimentOptions single = experiment_options(whole.out, {"own_sensors"});
  single.rows = {"baseline", "both"};
  single.seeds = 1;
  CHECK(run(single).done == 2);
  CHECK(learnt(whole.out) == before);
  CHECK(count_of(lines_of(ledger), "eval ") == 4);
  // What the table has is more than others ask for: nothing is left to do for either, nor for both together.
  CHECK(run(single).done == 2);
  CHECK(run(whole).done == 2);
  ExperimentOptions both = whole;
  both.names = {"fuller_table_1", "own_sensors"};
  both.rows = {"baseline_1", "baseline", "both_1", "both"};
  CHECK(run(both).done == 2);
  CHECK(count_of(lines_of(ledger), "eval ") == 4);
  // One plan of both evaluates each run once, with the table.
  fs::remove(ledger);
  both.out = folder.path() / "together";
  CHECK(run(both).done == 2);
  CHECK(count_of(lines_of(ledger), "eval ") == 2);
  CHECK(run(single).done == 2);
}

TEST_CASE("what files of results know is not done again, but a teacher for what it teaches", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const fs::path ledger = folder.path() / "ledger";
  const Variable said("FAKE_LEDGER", ledger.string());
  CHECK(run(taught(folder.path() / "first")).done == 3);
  const FinishedExperiment first = read_experiment(folder.path() / "first" / "dmfuser");
  write_results(folder.path() / "first" / "dmfuser", first);
  ExperimentOptions options = taught(folder.path() / "second");
  options.known = {folder.path() / "first" / "dmfuser" / "results.json"};

  fs::remove(ledger);
  CHECK(run(options).done == 3);  // all of them known
  CHECK(!fs::exists(ledger));
  const std::string planned = text_of(plan_experiments(options));
  CHECK(planned.find("known from ") != std::string::npos);
  CHECK(planned.find("results.json: 3 runs of these\n") != std::string::npos);
  ExperimentOptions longer = options;
  longer.epochs = 9;
  CHECK(text_of(plan_experiments(longer)).find("results.json: 0 runs of these that are not done here") != std::string::npos);

  options.seeds = 2;  // of the second seed nothing is known
  CHECK(run(options).done == 6);
  CHECK(count_of(lines_of(ledger), "train ") == 3);
  FinishedExperiment both = read_experiment(options.out / "dmfuser");
  KnownRuns(options.known).complete(both);
  CHECK(std::all_of(both.runs.begin(), both.runs.end(), [](const ExperimentRun& one) { return one.state == RunState::done; }));

  // Teachers that are known alone have no checkpoint to teach from.
  ExperimentOptions student = taught(folder.path() / "third");
  FinishedExperiment teachers = first;
  teachers.runs.erase(
      std::remove_if(teachers.runs.begin(), teachers.runs.end(), [](const ExperimentRun& one) { return one.row == "sum_kd"; }),
      teachers.runs.end());
  fs::create_directories(folder.path() / "experts");
  write_results(folder.path() / "experts", teachers);
  student.known = {folder.path() / "experts" / "results.json"};
  fs::remove(ledger);
  CHECK(run(student).failed.empty());
  CHECK(count_of(lines_of(ledger), "train ") == 3);
}

TEST_CASE("the page's scenes are drawn of one run a row, after its figures are known", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const fs::path ledger = folder.path() / "ledger";
  const Variable said("FAKE_LEDGER", ledger.string());
  ExperimentOptions options = four_ways(folder.path() / "out");
  options.seeds = 2;
  CHECK(run(options).done == 8);
  CHECK(count_of(lines_of(ledger), "predict ") == 4);
  for (const ExperimentRun& one : read_experiment(options.out / "fuller_table_1").runs) {
    CHECK(fs::exists(one.folder / "predictions/index.html") == (one.seed == 0));
    CHECK(one.predict_command.empty() == (one.seed != 0));
  }
}

TEST_CASE("a failed run is named with its last words, does not stop the others, and is tried again", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const ExperimentOptions options = four_ways(folder.path());
  {
    const Variable crash("FAKE_CRASH", "--gate=gradient");  // intra and both
    const ExperimentOutcome outcome = run(options);
    CHECK(outcome.done == 2);
    REQUIRE(outcome.failed.size() == 2);
    CHECK(outcome.failed[0].second.find("train ended with status 3") != std::string::npos);
    CHECK(outcome.failed[0].second.find("the network fell over") != std::string::npos);
    const FinishedExperiment experiment = read_experiment(options.out / "fuller_table_1");
    CHECK(experiment.of_row("both_1").at(0)->state == RunState::failed);
    CHECK(experiment.of_row("both_1").at(0)->message.find("the network fell over") != std::string::npos);
    CHECK(experiment.of_row("inter_1").at(0)->state == RunState::done);
  }
  const TemporaryFolder whole;
  CHECK(run(options).done == 4);
  CHECK(run(four_ways(whole.path())).done == 4);
  CHECK(learnt(options.out) == learnt(whole.path()));
}

TEST_CASE("killed at any moment, the same command goes on and ends as if nothing had been", "[bevfusion][experiments]") {
  const TemporaryFolder whole;
  REQUIRE(run(four_ways(whole.path())).done == 4);

  const TemporaryFolder folder;
  const ExperimentOptions options = four_ways(folder.path());
  {
    const Variable slow("FAKE_NAP", "15");
    for (int time = 0; time < 2; ++time) {
      const pid_t runner = in_a_process(options);
      REQUIRE(wait_for_steps(options.out));
      std::this_thread::sleep_for(std::chrono::milliseconds(70 * time));
      kill(runner, SIGKILL);
      CHECK(ended(runner) == -SIGKILL);
    }
    // Its children went with it: their folders are free.
    for (const auto& entry : fs::directory_iterator(options.out / "runs")) {
      bool free = false;
      for (int i = 0; i < 200 && !free; ++i) {
        try {
          const example::FolderLock lock(entry.path(), "is looked at");
          free = true;
        } catch (const std::runtime_error&) {
          std::this_thread::sleep_for(std::chrono::milliseconds(10));
        }
      }
      CHECK(free);
    }
  }
  write_experiments(plan_experiments(options));
  const FinishedExperiment stopped = read_experiment(options.out / "fuller_table_1");
  CHECK(std::any_of(stopped.runs.begin(), stopped.runs.end(),
                    [](const ExperimentRun& one) { return one.state == RunState::interrupted; }));
  CHECK(run(options).done == 4);
  CHECK(learnt(options.out) == learnt(whole.path()));
  for (const auto& entry : fs::directory_iterator(options.out / "runs")) {
    CHECK(lines_of(entry.path() / "log.jsonl").size() == 41);  // each step once, below the line of the run
  }
}

TEST_CASE("SIGTERM and SIGINT are passed on, and what was done stays", "[bevfusion][experiments]") {
  const int number = GENERATE(SIGTERM, SIGINT);
  const TemporaryFolder folder;
  const fs::path ledger = folder.path() / "ledger";
  const ExperimentOptions options = four_ways(folder.path() / "out");
  {
    const Variable said("FAKE_LEDGER", ledger.string());
    const Variable slow("FAKE_NAP", "15");
    const pid_t runner = in_a_process(options);
    REQUIRE(wait_for_steps(options.out));
    kill(runner, number);
    CHECK(ended(runner) == 100 + number);
  }
  CHECK(count_of(lines_of(ledger), "train ") == 2);  // as many as run at once
  const FinishedExperiment experiment = read_experiment(options.out / "fuller_table_1");
  CHECK(std::count_if(experiment.runs.begin(), experiment.runs.end(),
                      [](const ExperimentRun& one) { return one.state == RunState::interrupted && one.wall_seconds > 0; }) == 2);
  CHECK(std::count_if(experiment.runs.begin(), experiment.runs.end(),
                      [](const ExperimentRun& one) { return one.state == RunState::not_started; }) == 2);
}

TEST_CASE("a disk that takes no more ends runs, not the runner, and they go on later", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const ExperimentOptions options = four_ways(folder.path());
  const pid_t runner = in_a_process(options, [] {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit most{1000, 1000};  // bytes a file: the log has more
    setrlimit(RLIMIT_FSIZE, &most);
  });
  const int status = ended(runner);
  CHECK((status == 54 || status == 2));  // the four runs failed; experiment.json found no room either
  const ExperimentPlan plan = plan_experiments(options);
  CHECK(std::none_of(plan.runs.begin(), plan.runs.end(), [](const PlannedRun& one) { return one.run.state == RunState::done; }));
  CHECK(run(options).done == 4);
}

TEST_CASE("a folder has one runner at a time", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const ExperimentOptions options = four_ways(folder.path());
  fs::create_directories(options.out);
  const example::FolderLock other(options.out, "is used");
  CHECK_THROWS_AS(run(options), std::runtime_error);
}

}  // namespace
