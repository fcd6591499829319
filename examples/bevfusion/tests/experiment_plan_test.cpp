// SPDX-License-Identifier: Apache-2.0
// What would run, against what the sheets ask for.
#include <algorithm>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "bevfusion/experiments/experiment_plan.hpp"
#include "bevfusion/experiments/run_file.hpp"
#include "bevfusion/tests/support/planned_experiments.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using namespace bevfusion::testing;
namespace fs = std::filesystem;

std::string refusal(const ExperimentOptions& options) {
  try {
    plan_experiments(options);
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

TEST_CASE("a plan has each row with each seed, seed by seed", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const ExperimentPlan plan = plan_experiments(experiment_options(folder.path(), {"fuller_table_1"}));
  const ExperimentSheet& sheet = plan.sheets.at(0);
  std::size_t can_run = 0;
  for (const ExperimentRow& row : sheet.rows) {
    can_run += row.needs.empty() ? 1 : 0;
    for (std::uint64_t seed = 0; row.needs.empty() && seed < 5; ++seed) {
      const PlannedRun* run = plan.run_of(0, row.key, seed);
      REQUIRE(run != nullptr);
      // 168 samples in batches of 4, 12 epochs
      CHECK(run->steps == 504);
      const auto& words = run->run.train_command;
      for (const std::string& option : row.options) {
        CHECK(std::find(words.begin(), words.end(), option) != words.end());
      }
      CHECK(std::find(words.begin(), words.end(), "--seed=" + std::to_string(seed)) != words.end());
      CHECK(std::find(words.begin(), words.end(), "--resume") != words.end());
    }
  }
  CHECK(plan.runs.size() == can_run * 5);
  CHECK(std::is_sorted(plan.runs.begin(), plan.runs.end(),
                       [](const PlannedRun& a, const PlannedRun& b) { return a.run.seed < b.run.seed; }));
  std::set<std::string> folders;
  for (const PlannedRun& run : plan.runs) {
    folders.insert(run.run.folder.string());
  }
  CHECK(folders.size() == plan.runs.size());
  CHECK(plan.data.evaluation_samples >= 400);
  // Nothing was started or written.
  CHECK(fs::is_empty(folder.path()));
}

TEST_CASE("the quick plan is the single tasks and the four ways at 1:1, with one seed", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  ExperimentOptions options = experiment_options(folder.path(), {"fuller_table_1"});
  options.quick = true;
  const ExperimentPlan plan = plan_experiments(options);
  std::vector<std::string> rows;
  for (const PlannedRun& run : plan.runs) {
    rows.push_back(run.run.row);
  }
  CHECK(rows == std::vector<std::string>{"detection", "segmentation", "baseline_1", "intra_1", "inter_1", "both_1"});
  const auto all_have = [](const ExperimentPlan& of, const std::string& word) {
    return std::all_of(of.runs.begin(), of.runs.end(), [&word](const PlannedRun& run) {
      const std::vector<std::string>& words = run.run.train_command;
      return std::count(words.begin(), words.end(), word) == 1;
    });
  };
  CHECK(all_have(plan, "--epochs=5"));
  options.epochs = 2;
  CHECK(all_have(plan_experiments(options), "--epochs=2"));
  CHECK(plan.data.key != plan_experiments(experiment_options(folder.path(), {"fuller_table_1"})).data.key);
}

TEST_CASE("experiments that ask for the same run share it", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const ExperimentPlan one = plan_experiments(experiment_options(folder.path(), {"fuller_table_1"}));
  const ExperimentPlan both =
      plan_experiments(experiment_options(folder.path(), {"fuller_table_1", "fuller_table_4", "fuller_table_1"}));
  CHECK(both.sheets.size() == 2);
  // Table 4 is of the four ways at 1:1 and the single tasks, all of which Table 1 has.
  CHECK(both.runs.size() == one.runs.size());
  const PlannedRun* shared = both.run_of(1, "both", 2);
  REQUIRE(shared != nullptr);
  CHECK(shared == both.run_of(0, "both_1", 2));
  CHECK(text_of(both).find("shared") != std::string::npos);
}

TEST_CASE("a row that is taught brings its teachers of the same seed", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  ExperimentOptions options = experiment_options(folder.path(), {"dmfuser"});
  options.rows = {"fuller_kd"};
  options.seeds = 2;
  const ExperimentPlan plan = plan_experiments(options);
  REQUIRE(plan.runs.size() == 6);
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    const PlannedRun* taught = plan.run_of(0, "fuller_kd", seed);
    REQUIRE(taught != nullptr);
    std::vector<fs::path> teachers;
    for (const char* task : {"detection", "segmentation"}) {
      const PlannedRun* teacher = plan.run_of(0, task, seed);
      REQUIRE(teacher != nullptr);
      CHECK(teacher < taught);
      CHECK(teacher->teachers.empty());
      teachers.push_back(teacher->run.folder);
      const auto& words = taught->run.train_command;
      CHECK(std::count(words.begin(), words.end(), "--teacher=" + std::string(task) + "=" + teacher->run.folder.string()) == 1);
    }
    CHECK(taught->teachers == teachers);
  }
  // Another place, the same run; other teachers, another.
  const TemporaryFolder elsewhere;
  ExperimentOptions moved = options;
  moved.out = elsewhere.path();
  const auto name_of = [](const ExperimentPlan& of) { return of.run_of(0, "fuller_kd", 0)->run.folder.filename(); };
  CHECK(name_of(plan_experiments(moved)) == name_of(plan));
  options.names = {"dmfuser_repository"};
  CHECK(name_of(plan_experiments(options)) != name_of(plan));
}

TEST_CASE("a driver's experiments have a driver's scenes", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  const ExperimentPlan plan = plan_experiments(experiment_options(folder.path(), {"dmfuser_driving"}));
  const auto& words = plan.data.synth_command;
  CHECK(std::count(words.begin(), words.end(), "--driving") == 1);
  CHECK(plan.data.training_samples == 24 * 12);
  const ExperimentPlan others = plan_experiments(experiment_options(folder.path(), {"dmfuser"}));
  const auto& plain = others.data.synth_command;
  CHECK(std::count(plain.begin(), plain.end(), "--driving") == 0);
  CHECK(others.data.key != plan.data.key);
  std::string refusal;
  try {
    plan_experiments(experiment_options(folder.path(), {"dmfuser", "dmfuser_driving"}));
  } catch (const std::invalid_argument& error) {
    refusal = error.what();
  }
  CHECK(refusal.find("dmfuser_driving") != std::string::npos);
  CHECK(refusal.find("one after the other") != std::string::npos);
}

TEST_CASE("rows, seeds and epochs can be chosen", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  ExperimentOptions options = experiment_options(folder.path(), {"fuller_table_1"});
  options.rows = {"both_1", "detection"};
  options.seeds = 2;
  options.epochs = 3;
  const ExperimentPlan plan = plan_experiments(options);
  REQUIRE(plan.runs.size() == 4);
  for (const PlannedRun& run : plan.runs) {
    CHECK(run.steps == 3 * 42);
    const auto& words = run.run.train_command;
    CHECK(std::count(words.begin(), words.end(), "--epochs=3") == 1);
    CHECK(std::count(words.begin(), words.end(), "--epochs=12") == 0);
  }
}

TEST_CASE("what is not there is refused with the near names", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  CHECK(refusal(experiment_options(folder.path(), {"fuller_tabel_1"})).find("did you mean fuller_table_1?") != std::string::npos);
  ExperimentOptions options = experiment_options(folder.path(), {"fuller_table_1"});
  options.rows = {"bothe_1"};
  CHECK(refusal(options).find("did you mean both_1?") != std::string::npos);
  options.rows.clear();
  options.size = "tinny";
  CHECK(refusal(options).find("did you mean tiny?") != std::string::npos);
  options.size = "full";
  CHECK(refusal(options).find("--data DIR") != std::string::npos);
  options.size = "tiny";
  options.data = (folder.path() / "nowhere").string();
  CHECK(refusal(options).find("is not there") != std::string::npos);
  CHECK(refusal(experiment_options(folder.path(), {"wpcgrad_table_4"})).find("cannot be run") != std::string::npos);
}

TEST_CASE("a run of other settings is never taken for the planned one", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  ExperimentOptions options = experiment_options(folder.path(), {"fuller_table_1"});
  options.rows = {"both_1"};
  options.seeds = 1;
  const fs::path run = plan_experiments(options).runs.at(0).run.folder;
  fs::create_directories(run);
  std::ofstream(run / "config.toml") << "size = \"tiny\"\n[training]\nepochs = 13\nseed = 0\n";
  CHECK(refusal(options).find("other values of training.epochs") != std::string::npos);
}

TEST_CASE("the cost is that of finished runs, where there are such", "[bevfusion][experiments]") {
  const TemporaryFolder folder;
  ExperimentOptions options = experiment_options(folder.path(), {"fuller_table_1"});
  options.seeds = 1;
  options.rows = {"both_1", "inter_1"};
  const ExperimentPlan before = plan_experiments(options);
  CHECK(text_of(before).find("stated") != std::string::npos);
  const fs::path run = before.runs.at(0).run.folder;
  fs::create_directories(run);
  std::ofstream(run / "config.toml") << "size = \"tiny\"\n[training]\nseed = 0\ndevice = \"cpu\"\n";
  std::ofstream(run / "log.jsonl")
      << "{\"kind\":\"run\",\"steps\":504,\"samples\":168}\n{\"kind\":\"step\",\"step\":504,\"seconds\":0.25}\n{\"kind\":\"st";
  std::ofstream(run / "evaluation.json") << "{}\n";
  RunFile file;
  file.stage = RunFile::Stage::evaluated;
  file.wall_seconds = 252;
  write_run_file(run, file);
  const ExperimentPlan after = plan_experiments(options);
  CHECK(after.seconds_per_step == Approx(0.25));
  CHECK(after.seconds_per_run == Approx(252 - 504 * 0.25));
  CHECK(after.runs.at(0).run.state == RunState::done);
  CHECK(after.runs.at(0).seconds == 0);
  CHECK(after.runs.at(1).seconds == Approx(252));
  CHECK(text_of(after).find("1 of them done") != std::string::npos);
}

}  // namespace
