// SPDX-License-Identifier: Apache-2.0
// An experiment's statistics against SciPy's (seed_statistics.py), and its results file against the runs that it is of.
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/experiments/experiment_results.hpp"
#include "bevfusion/experiments/run_file.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using namespace bevfusion::testing;
using Json = nlohmann::json;
namespace fs = std::filesystem;

constexpr const char* sheet = R"(
paper = "P"
place = "Table 1"
title = "t"
shows = "s"
expected = "e"
delta_divisor = 2
[[column]]
key = "mAP"
label = "mAP, %"
scale = 100
[[row]]
key = "alone"
label = "detection alone"
config = "detection_only.toml"
single = "detection"
[[row]]
key = "mapped"
label = "segmentation alone"
config = "segmentation_only.toml"
single = "segmentation"
[[row]]
key = "baseline"
label = "baseline"
config = "baseline.toml"
[[row]]
key = "row"
label = "row"
config = "tiny.toml"
baseline = "baseline"
paper = { mAP = 60.5 }
[[row]]
key = "later"
label = "later"
needs = "a part"
)";

/// A folder as a finished run leaves it.
void write_run(const fs::path& folder, const Json& figures, const std::vector<std::string>& tasks) {
  fs::create_directories(folder);
  std::ofstream(folder / "log.jsonl") << Json{{"kind", "run"}, {"tasks", tasks}, {"steps", 2}, {"parameters", 11}}.dump() << "\n"
                                      << R"({"kind":"step","epoch":0,"step":1,"gamma_task":4.0,"seconds":2})"
                                      << "\n"
                                      << R"({"kind":"step","epoch":0,"step":2,"gamma_task":8.0,"seconds":2})"
                                      << "\n";
  std::ofstream(folder / "evaluation.json") << figures.dump() << "\n";
  RunFile file;
  file.stage = RunFile::Stage::evaluated;
  file.wall_seconds = 9;
  file.commit = "abc";
  write_run_file(folder, file);
}

class Experiment {
 public:
  void add(const std::string& row, std::uint64_t seed, const Json& figures, const std::vector<std::string>& tasks) {
    const std::string name = row + "-s" + std::to_string(seed);
    write_run(folder_.path() / "runs" / name, figures, tasks);
    runs_.push_back({{"row", row},
                     {"seed", seed},
                     {"folder", "../runs/" + name},
                     {"train_command", {"bevfusion", "train", "it's"}},
                     {"eval_command", {"bevfusion", "eval"}}});
  }
  FinishedExperiment read() const {
    const fs::path folder = folder_.path() / "name";
    fs::create_directories(folder);
    std::ofstream(folder / "experiment.json")
        << Json{{"experiment", "name"}, {"sheet", sheet},          {"size", "tiny"}, {"device", "cpu"},
                {"quick", false},       {"repeat", {"bevfusion"}}, {"data", "town"}, {"runs", runs_}}
               .dump();
    return read_experiment(folder);
  }
  const fs::path& path() const { return folder_.path(); }

 private:
  TemporaryFolder folder_;
  Json runs_ = Json::array();
};

TEST_CASE("means and paired differences over seeds are SciPy's", "[bevfusion][experiments][reference]") {
  std::ifstream in(std::string(FULLER_SOURCE_DIR) + "/examples/bevfusion/tests/reference/seed_statistics.json");
  const Json stored = Json::parse(in);
  REQUIRE(stored.at("cases").size() == 6);
  for (const Json& one : stored["cases"]) {
    Experiment experiment;
    const std::size_t seeds = one["row"].size();
    INFO(seeds << " seeds");
    for (std::size_t s = 0; s < seeds; ++s) {
      experiment.add("baseline", s, {{"mAP", one["baseline"][s]}, {"NDS", 0.2}}, {"detection"});
      experiment.add("row", s, {{"mAP", one["row"][s]}, {"NDS", 0.2}}, {"detection"});
    }
    const FinishedExperiment read = experiment.read();
    const auto row = results_json(read)["rows"][3];
    const auto& mean = row["mean"]["mAP"];
    const auto& difference = row["difference"]["mAP"];
    CHECK(mean["seeds"] == seeds);
    CHECK(difference["pairs"] == seeds);
    CHECK(mean["mean"].get<double>() == Approx(one["mean"].get<double>()).epsilon(1e-12));
    CHECK(difference["mean"].get<double>() == Approx(one["difference"].get<double>()).epsilon(1e-9));
    if (seeds < 2) {
      CHECK(mean["half_width"].is_null());
      CHECK(difference["half_width"].is_null());
    } else {  // quantiles are tabled to three decimals
      CHECK(mean["half_width"].get<double>() == Approx(one["half_width"].get<double>()).epsilon(3e-4));
      CHECK(difference["half_width"].get<double>() == Approx(one["difference_half_width"].get<double>()).epsilon(3e-4));
    }
  }
}

TEST_CASE("differences are of the seeds that both have", "[bevfusion][experiments]") {
  Experiment experiment;
  experiment.add("baseline", 0, {{"mAP", 0.25}}, {"detection"});
  experiment.add("baseline", 3, {{"mAP", 0.5}}, {"detection"});
  experiment.add("row", 3, {{"mAP", 0.75}}, {"detection"});
  experiment.add("row", 4, {{"mAP", 0.125}}, {"detection"});
  const auto json = results_json(experiment.read());
  CHECK(json["rows"][3]["difference"]["mAP"]["mean"] == 0.25);
  CHECK(json["rows"][3]["difference"]["mAP"]["pairs"] == 1);
  CHECK(json["rows"][3]["mean"]["mAP"]["mean"] == 0.4375);
  CHECK(json["rows"][2].count("difference") == 0);
}

TEST_CASE("the results file has what the runs found and what the paper says", "[bevfusion][experiments]") {
  Experiment experiment;
  const std::vector<std::string> both = {"detection", "segmentation"};
  experiment.add("alone", 0, {{"mAP", 0.5}, {"NDS", 0.4}}, {"detection"});
  experiment.add("mapped", 0, {{"mIoU", 0.8}}, {"segmentation"});
  experiment.add("baseline", 0, {{"mAP", 0.4}, {"NDS", 0.4}, {"mIoU", 0.4}}, both);
  experiment.add("row", 0, {{"mAP", 0.5}, {"NDS", 0.3}, {"mIoU", 0.6}}, both);
  experiment.add("row", 1, {{"mAP", 0.5}, {"NDS", 0.3}, {"mIoU", 0.6}}, both);
  RunFile failed;
  failed.stage = RunFile::Stage::failed;
  failed.message = "train ended with status 3";
  write_run_file(experiment.path() / "runs" / "row-s1", failed);
  const FinishedExperiment read = experiment.read();
  const auto json = results_json(read);
  const auto& row = json["rows"][3];
  CHECK(row["key"] == "row");
  CHECK(row["paper"]["mAP"] == 60.5);
  // ((0.5 - 0.5) / 0.5 + (0.4 - 0.3) / 0.4 + (0.8 - 0.6) / 0.8) / 2
  CHECK(row["runs"][0]["figures"]["delta_mtl"].get<double>() == Approx(0.25));
  CHECK(row["runs"][0]["figures"]["gamma_task"] == 6.0);
  CHECK(row["runs"][0]["figures"]["training_seconds"] == 4.0);
  CHECK(row["runs"][0]["commit"] == "abc");
  CHECK(row["runs"][0]["train"] == "bevfusion train 'it'\\''s'");
  CHECK(row["runs"][1]["state"] == "failed");
  CHECK(row["runs"][1]["message"] == "train ended with status 3");
  CHECK(row["runs"][1]["figures"].empty());
  CHECK(row["mean"]["mAP"]["seeds"] == 1);
  CHECK(row["mean"]["mAP"]["half_width"].is_null());
  CHECK(row["difference"]["mIoU"]["mean"].get<double>() == Approx(0.2));
  CHECK(json["rows"][4]["needs"] == "a part");
  const std::string text = results_text(read);
  CHECK(text.find("50.0 (60.5)") != std::string::npos);
}

}  // namespace
