// SPDX-License-Identifier: Apache-2.0
// What a report says in words, bold and colour, against figures worked out by hand.
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/report/detail_tables.hpp"
#include "bevfusion/report/outcome.hpp"
#include "bevfusion/report/provenance_tables.hpp"
#include "bevfusion/report/report_page.hpp"
#include "bevfusion/report/run_details.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

RunRecord run_of(const std::string& group, double map, const std::string& seed = "") {
  RunRecord run;
  run.group = group;
  run.folder = group + "-" + seed;
  run.figures = {{"mAP", map}};
  if (!seed.empty()) {
    run.config = {{"training.seed", seed}};
  }
  return run;
}

std::vector<RunGroup> groups_of(const std::vector<double>& calibrated, const std::vector<double>& summed, bool seeds) {
  std::vector<RunRecord> runs;
  for (std::size_t i = 0; i < calibrated.size(); ++i) {
    runs.push_back(run_of("fuller", calibrated[i], seeds ? std::to_string(i) : ""));
  }
  for (std::size_t i = 0; i < summed.size(); ++i) {
    runs.push_back(run_of("sum", summed[i], seeds ? std::to_string(i) : ""));
  }
  return compare(runs, {}, {});
}

std::string sentence(const std::vector<double>& calibrated, const std::vector<double>& summed, bool seeds = true) {
  return outcome_sentences(groups_of(calibrated, summed, seeds), 1).front();
}

/// The table that a task's sheet puts under a heading.
StyledTable table_of(const std::vector<RunGroup>& groups, const std::string& heading) {
  for (const TaskSheet& task : task_sheets()) {
    for (const DetailSheet& detail : task.details) {
      if (detail.heading == heading) {
        return detail_table(groups, detail);
      }
    }
  }
  throw std::logic_error("no sheet has a table " + heading);
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (auto at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

}  // namespace

TEST_CASE("differences of the same seeds are paired", "[bevfusion][report]") {
  // Differences 0.02, 0.03, 0.04: mean 0.03, deviation 0.01; t of 2 degrees of freedom is 4.303.
  const auto groups = groups_of({0.32, 0.43, 0.54}, {0.30, 0.40, 0.50}, true);
  const Difference difference = difference_of(groups[0], groups[1], "mAP");
  CHECK(difference.paired);
  CHECK(difference.value == Approx(0.03));
  CHECK(difference.half_width == Approx(4.303 * 0.01 / std::sqrt(3.0)));
  CHECK(difference.is_clear());
}

TEST_CASE("without seeds in common Welch's interval is taken", "[bevfusion][report]") {
  // Variances 0.01 and 0.01 over 3 runs each: sqrt(0.02 / 3), (0.02/3)^2 / (2 (0.01/3)^2 / 2) = 4 degrees of freedom, t = 2.776.
  const auto groups = groups_of({0.32, 0.42, 0.52}, {0.30, 0.40, 0.50}, false);
  const Difference difference = difference_of(groups[0], groups[1], "mAP");
  CHECK_FALSE(difference.paired);
  CHECK(difference.value == Approx(0.02));
  CHECK(difference.half_width == Approx(2.776 * std::sqrt(0.02 / 3)));
  CHECK_FALSE(difference.is_clear());
  CHECK(std::isnan(difference_of(groups[0], groups[1], "mIoU").value));
}

TEST_CASE("the sentence says what the figures say", "[bevfusion][report]") {
  CHECK(has(sentence({0.32, 0.43, 0.54}, {0.30, 0.40, 0.50}),
            "fuller against sum: mAP is higher by 0.0300 (95 % interval +0.0052"));
  CHECK(has(sentence({0.30, 0.40, 0.50}, {0.32, 0.43, 0.54}), "mAP is lower by 0.0300"));
  CHECK(has(sentence({0.32, 0.42, 0.52}, {0.30, 0.40, 0.50}, false), "mAP is not clearly different: +0.0200"));
  const std::string single = sentence({0.32}, {0.30});
  CHECK(has(single, "mAP is higher by 0.0200"));
  CHECK(has(single, "one seed of fuller and one seed of sum"));
  CHECK_FALSE(has(single, "interval"));
  CHECK(has(outcome_sentences(groups_of({0.3}, {}, false), -1).front(), "nothing to compare"));
  CHECK(has(outcome_sentences(groups_of({0.3}, {0.2}, false), -1).front(), "--baseline"));
}

TEST_CASE("the baseline is grey and the first of the others has the accent", "[bevfusion][report]") {
  auto groups = groups_of({0.3}, {0.2}, false);
  CHECK(baseline_among(groups, "sum") == 1);
  CHECK(baseline_among(groups, "") == 1 - 2);  // neither says that it calibrates nothing
  CHECK(colours_of(groups, 1) == std::vector<int>{1, 0});
  CHECK(colours_of(groups, 0) == std::vector<int>{0, 1});
  groups[0].runs[0].facts.calibrator = "imtl_g";
  groups[1].runs[0].facts.calibrator = "uniform";
  groups[1].runs[0].facts.gate = "none";
  CHECK(baseline_among(groups, "") == 1);
}

TEST_CASE("the best are marked, empty columns go", "[bevfusion][report]") {
  CHECK(best_of({0.1, 0.3, std::nan("")}, Better::higher, 3) == std::vector<bool>{false, true, false});
  CHECK(best_of({0.1, 0.3}, Better::lower, 3) == std::vector<bool>{true, false});
  CHECK(best_of({0.30001, 0.3, 0.1}, Better::higher, 3) == std::vector<bool>{true, true, false});  // shown alike
  CHECK(best_of({0.3}, Better::higher, 3) == std::vector<bool>{false});
  CHECK(best_of({0.3, 0.3}, Better::higher, 3) == std::vector<bool>{false, false});
  CHECK(without_empty_columns(TableRows{{"run", "a", "b"}, {"x", "-", "1"}, {"y", "-", "-"}}) ==
        TableRows{{"run", "b"}, {"x", "1"}, {"y", "-"}});
  const StyledTable results = result_table(groups_of({0.3, 0.3}, {0.2, 0.2}, false));
  CHECK(results.rows[0] == std::vector<std::string>{"run", "runs", "mAP"});
  CHECK(results.bold[1] == std::vector<bool>{false, false, true});
  CHECK(results.bold[2] == std::vector<bool>{false, false, false});
}

TEST_CASE("classes, errors and thresholds come from evaluation.json", "[bevfusion][report]") {
  const auto evaluation = nlohmann::ordered_json::parse(R"({"samples": 40, "split": "val",
    "detection": {"mean_dist_aps": {"truck": 0.25, "car": 0.5}, "tp_errors": {"trans_err": 0.4, "vel_err": null}},
    "segmentation": {"walkway": {"IoU": 0.61, "threshold": 0.35}, "divider": {"IoU": null, "threshold": null}}})");
  const EvaluationDetails details = evaluation_details(evaluation);
  CHECK(details.tables.at("Detection by class").values == NamedNumbers{{"truck", 0.25}, {"car", 0.5}});  // in the file's order
  CHECK(number_of(details.tables.at("True-positive errors").values, "trans_err") == 0.4);
  CHECK(std::isnan(number_of(details.tables.at("True-positive errors").values, "vel_err")));
  auto groups = groups_of({0.3, 0.4}, {0.2}, false);
  groups[0].runs[0].details = groups[0].runs[1].details = details;
  groups[0].runs[1].details.tables["Map by class"].thresholds = {{"walkway", 0.45}};
  groups[1].runs[0].details.tables["Detection by class"].values = {{"car", 0.75}};
  const StyledTable classes = table_of(groups, "Detection by class");
  CHECK(classes.rows ==
        TableRows{{"AP of", "fuller", "sum"}, {"truck", "0.250 ± 0.000", "-"}, {"car", "0.500 ± 0.000", "0.750"}});
  CHECK(classes.bold[2] == std::vector<bool>{false, false, true});
  CHECK(table_of(groups, "Map by class").rows[1] == std::vector<std::string>{"walkway", "0.610 ± 0.000 at 0.35, 0.45", "-"});
  CHECK(table_of(groups, "True-positive errors").rows[1][1] == "0.400 ± 0.000");
  CHECK(table_of(groups, "Foreground by mask").rows.size() == 1);
}

TEST_CASE("configs are read and compared", "[bevfusion][report]") {
  const bevfusion::testing::TemporaryFolder folder;
  const auto file = folder.path() / "config.toml";
  write(file,
        "# of a run\nsize = \"tiny\"\n\n[training] # how\nseed = 3\nlearning_rate = 1e-3  # the largest\r\nname = \"a # b\"\n");
  const auto fields = config_fields_in(file);
  REQUIRE(fields.size() == 4);
  CHECK(fields[0] == std::pair<std::string, std::string>("size", "tiny"));
  CHECK(fields[1] == std::pair<std::string, std::string>("training.seed", "3"));
  CHECK(fields[2] == std::pair<std::string, std::string>("training.learning_rate", "1e-3"));
  CHECK(fields[3] == std::pair<std::string, std::string>("training.name", "a # b"));
  CHECK(config_fields_in(folder.path() / "absent.toml").empty());
  write(file, "\xEF\xBB\xBFsizes = [1,\n  2]\n");  // a byte order mark, and a list that goes on
  REQUIRE(config_fields_in(file).size() == 1);
  CHECK(config_fields_in(file)[0] == std::pair<std::string, std::string>("sizes", "[1, 2]"));
  write(file, "# of a run\nnonsense\n");
  std::string refusal;
  try {
    config_fields_in(file);
  } catch (const std::runtime_error& error) {
    refusal = error.what();
  }
  CHECK(has(refusal, "config.toml, line 2"));

  auto groups = groups_of({0.3, 0.4}, {0.2, 0.3}, true);
  groups[0].runs[0].config.emplace_back("calibration.rule", "imtl_g");
  groups[0].runs[1].config.emplace_back("calibration.rule", "imtl_g");
  for (RunRecord& run : groups[1].runs) {
    run.config.emplace_back("calibration.rule", "uniform");
  }
  CHECK(config_rows(groups) == TableRows{{"field", "fuller", "sum"}, {"calibration.rule", "imtl_g", "uniform"}});
  CHECK(cautions(groups).empty());
  groups[0].runs[1].config.back().second = "dwa";
  REQUIRE(cautions(groups).size() == 1);
  CHECK(has(cautions(groups)[0], "Runs of fuller differ in more than their seed: calibration.rule"));
  groups[1].runs[0].details.samples = 40;
  groups[0].runs[0].details.samples = 41;
  CHECK(has(cautions(groups)[1], "not evaluated on the same samples"));
}

TEST_CASE("a run that goes on is told from one that logs every so many steps", "[bevfusion][report]") {
  RunRecord run = run_of("run", 0.3);
  run.facts.steps = 504;
  run.facts.last_step = 504;
  CHECK(cautions(compare({run}, {}, {})).empty());
  run.facts.last_step = 500;
  REQUIRE(cautions(compare({run}, {}, {})).size() == 1);
  CHECK(has(cautions(compare({run}, {}, {}))[0], "step 500 of 504"));
  run.config = {{"training.log_every", "10"}};
  CHECK(cautions(compare({run}, {}, {})).empty());

  const bevfusion::testing::TemporaryFolder folder;
  write(folder.path() / "run" / "log.jsonl",
        "{\"kind\":\"run\",\"steps\":7}\n{\"kind\":\"step\",\"epoch\":0,\"step\":5,\"loss\":1}\n"
        "{\"kind\":\"evaluation\",\"epoch\":0,\"step\":7,\"without\":[],\"mAP\":0.5}\n");
  CHECK(read_run((folder.path() / "run").string()).facts.last_step == 7);
}

TEST_CASE("a page of seeds has bands, links, directions and no stray marks", "[bevfusion][report]") {
  const bevfusion::testing::TemporaryFolder folder;
  std::vector<RunRecord> runs;
  for (const std::string name : {"fuller-0", "fuller-1", "*sum & co-0", "*sum & co-1"}) {
    const bool calibrated = name[0] == 'f';
    const auto at = folder.path() / name;
    std::string log = std::string(R"({"kind":"run","parameters":10,"gamma_pair":"detection/segmentation","calibrator":")") +
                      (calibrated ? "imtl_g" : "uniform") + "\",\"gate\":\"none\",\"steps\":4}\n";
    for (int step = 1; step <= 4; ++step) {
      const std::string lead = calibrated ? "1.5" : "12.5";
      log += R"({"kind":"step","epoch":)" + std::to_string((step - 1) / 2) + R"(,"step":)" + std::to_string(step) +
             R"(,"learning_rate":0.001,"gradient_norm":2,"weights":{"detection":)" + (step < 3 ? "1e-4" : "1") +
             R"(},"norms":{"detection":)" + lead + R"(,"segmentation":0.5},"branch_norms":{"lidar":2,"camera":8},)" +
             R"("gates":{"lidar":0.5,"camera":1},"gamma_task":3,"seconds":0.5})" + "\n";
      if (step % 2 == 0) {
        log += R"({"kind":"evaluation","epoch":)" + std::to_string(step / 2 - 1) + R"(,"step":4,"without":[],"mAP":0.)" +
               std::string(calibrated ? "3" : "2") + name.back() + "}\n";
      }
    }
    write(at / "log.jsonl", log);
    write(at / "checkpoint.pt", "weights");
    write(at / "events.out.tfevents.1764374400.host.0", "");  // 2025-11-29 00:00 UTC
    runs.push_back(read_run(at.string()));
  }
  CHECK(runs[0].facts.begun == "2025-11-29 00:00 UTC");
  CHECK(runs[0].median_of("norm_ratio") == 3);            // 1.5 / 0.5
  CHECK(runs[0].median_of("branch_norm_ratio") == 0.25);  // 2 / 8
  CHECK(runs[0].median_of("gate_ratio") == 2);
  CHECK(runs[0].training_seconds() == 2);
  write_page(folder.path() / "index.html", compare(runs, {}, {}), {});
  const std::string page = text_of(folder.path() / "index.html");
  CHECK(has(page, "fuller against *sum &amp; co: mAP is higher by 0.1000"));
  CHECK(has(page, "<td class=\"best\">0.3050 ± 0.0071</td>"));
  CHECK(has(page, "<td>*sum &amp; co</td>"));  // a star in a name is a star
  CHECK(has(page, "href=\"fuller-0/checkpoint.pt\""));
  CHECK(has(page, "href=\"%2Asum%20%26%20co-1/checkpoint.pt\""));
  CHECK(count(page, "class=\"band f1\"") >= 1);
  CHECK(count(page, "class=\"band f0\"") >= 1);
  for (const char* title : {"task gradients: detection / segmentation", "fusion gradients: LiDAR / camera",
                            "gates: camera / LiDAR", "learning rate", "norm of the whole gradient"}) {
    INFO(title);
    CHECK(has(page, std::string("aria-label=\"") + title + "\""));
  }
  CHECK_FALSE(has(page, "foreground mIoU"));
  CHECK_FALSE(has(page, "nan"));
  CHECK_FALSE(has(page, "src="));
  CHECK_FALSE(has(page, "<script"));
  // Weights from 1e-4 to 1 are on a logarithmic axis: a tick at each power of ten.
  const auto weights = page.find("Weights of the tasks");
  CHECK(has(page.substr(weights, 3000), ">0.001</text>"));
}
