// SPDX-License-Identifier: Apache-2.0
// Reports from logs written by hand, against figures worked out by hand.
#include <cmath>
#include <exception>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>

#include "bevfusion/report/comparison.hpp"
#include "bevfusion/report/report_page.hpp"
#include "bevfusion/report/report_tables.hpp"
#include "bevfusion/report/run_record.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::refusal;

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

std::string text_of(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

const std::string steps =
    R"({"kind":"run","size":"tiny","parameters":250000,"tasks":["detection","segmentation"]}
{"kind":"step","epoch":0,"step":1,"loss":5,"losses":{"detection":4,"segmentation":1},"gamma_task":2,"gamma_task_weighted":1,"gamma_modal":1.5,"cosine":-0.5,"conflict_share":1,"gates":{"lidar":0.9,"camera":1},"seconds":0.4,"waited":0.1}
{"kind":"step","epoch":0,"step":2,"loss":4,"losses":{"detection":3,"segmentation":1},"gamma_task":10,"gamma_modal":null,"cosine":0.5,"conflict_share":0,"gates":{"lidar":0.7,"camera":1},"seconds":0.2,"waited":0}
{"kind":"step","epoch":0,"step":3,"loss":3,"losses":{"detection":2,"segmentation":1},"gamma_task":3,"seconds":0.2,"waited":0}
{"kind":"evaluation","epoch":0,"step":3,"without":[],"mAP":0.1,"NDS":0.2,"mIoU":0.3}
{"kind":"step","epoch":1,"step":4,"loss":2,"losses":{"detection":1,"segmentation":1},"gamma_task":1,"gamma_task_weighted":1.0000000000000002,"seconds":0.2,"waited":0}
{"kind":"evaluation","epoch":1,"step":4,"without":[],"mAP":0.2,"NDS":0.25,"mIoU":null}
{"kind":"evaluation","epoch":1,"step":4,"without":["camera"],"mAP":0.01,"NDS":0.02,"mIoU":0.03}
)";

/// A run's folder with those figures.
std::string run_with(const std::filesystem::path& folder, const std::string& figures) {
  write(folder / "log.jsonl", steps);
  write(folder / "evaluation.json", "{" + figures + "}");
  return folder.string();
}

}  // namespace

TEST_CASE("a run's log becomes series by epoch", "[bevfusion][report]") {
  const bevfusion::testing::TemporaryFolder folder;
  write(folder.path() / "fuller-3" / "log.jsonl", steps + R"({"kind":"step","epoch":1,"st)");  // killed while it wrote
  const RunRecord run = read_run((folder.path() / "fuller-3").string());
  CHECK(run.group == "fuller");
  CHECK(run.parameters == 250000);
  CHECK(run.facts.tasks == std::vector<std::string>{"detection", "segmentation"});
  const EpochFigures first = run.steps.at("gamma_task").epochs.figures(0);
  CHECK(first.median == 3);  // of 2, 10, 3
  CHECK(first.mean == Approx(5));
  CHECK(run.steps.at("gamma_task").epochs.figures(1).median == 1);
  CHECK(run.median_of("gamma_task") == Approx(2.5));  // of 1, 2, 3, 10
  CHECK(run.mean_of("gamma_task") == Approx(4));
  CHECK(run.steps.at("gamma_modal").epochs.figures(0).steps == 1);
  CHECK(run.steps.at("gamma_modal").epochs.figures(0).skipped == 1);  // null
  CHECK(run.mean_of("losses/detection") == Approx(2.5));
  CHECK(run.mean_of("gates/lidar") == Approx(0.8));
  CHECK(std::isnan(run.mean_of("weights/detection")));
  CHECK(run.evaluations.at("mAP").at(1) == 0.2);
  CHECK(run.evaluations.at("mIoU").size() == 1);
  // No evaluation.json: the last evaluation with all sensors; its mIoU is no number.
  CHECK(run.figures == Figures{{"mAP", 0.2}, {"NDS", 0.25}});
}

TEST_CASE("a log that is none is refused with its place", "[bevfusion][report]") {
  const bevfusion::testing::TemporaryFolder folder;
  CHECK(refusal<std::exception>([&] { read_run((folder.path() / "absent").string()); }).find("absent") != std::string::npos);
  write(folder.path() / "run" / "log.jsonl", "{\"kind\":\"run\"}\n{\"kind\":\"step\",\n{\"kind\":\"run\"}\n");
  CHECK(refusal<std::exception>([&] { read_run((folder.path() / "run").string()); }).find("log.jsonl, line 2") !=
        std::string::npos);
  write(folder.path() / "run" / "log.jsonl", "{\"kind\":\"step\",\"step\":1}\n\n");  // a step of no epoch
  CHECK(refusal<std::exception>([&] { read_run((folder.path() / "run").string()); }).find("line 1") != std::string::npos);
  // One that ends within a line is that of a run that was killed, or goes on.
  write(folder.path() / "cut" / "log.jsonl", "{\"kind\":\"run\",\"steps\":7}\n{\"kind\":\"ste");
  CHECK(read_run((folder.path() / "cut").string()).facts.steps == 7);
  write(folder.path() / "run" / "log.jsonl", "{\"kind\":\"run\"}\n");
  write(folder.path() / "run" / "evaluation.json", "{\"mAP\":");
  CHECK(refusal<std::exception>([&] { read_run((folder.path() / "run").string()); }).find("evaluation.json") !=
        std::string::npos);
}

TEST_CASE("folders that differ in a trailing number are runs of one name", "[bevfusion][report]") {
  CHECK(group_of_folder("runs/fuller-0") == "fuller");
  CHECK(group_of_folder("runs/fuller-12/") == "fuller");
  CHECK(group_of_folder("fuller_seed2") == "fuller");
  CHECK(group_of_folder("imtl_g.s3") == "imtl_g");
  CHECK(group_of_folder("runs/baseline") == "baseline");
  CHECK(group_of_folder("tiny50") == "tiny50");
}

TEST_CASE("runs are compared as FULLER compares them", "[bevfusion][report]") {
  const bevfusion::testing::TemporaryFolder folder;
  const auto at = [&](const char* name) { return folder.path() / name; };
  const std::string missing =
      R"(,"missing":[{"without":["camera"],"mAP":0.3,"NDS":0.4,"mIoU":0.1},{"without":["lidar"],"mAP":0,"NDS":0.1,"mIoU":0.2}])";
  const RunRecord detection = read_run(run_with(at("det"), R"("mAP":0.5,"NDS":0.6)"));
  const RunRecord segmentation = read_run(run_with(at("seg"), R"("mIoU":0.4)"));
  const std::vector<RunRecord> runs = {read_run(run_with(at("fuller-0"), R"("mAP":0.45,"NDS":0.57,"mIoU":0.44)" + missing)),
                                       read_run(run_with(at("sum"), R"("mAP":0.4,"NDS":0.5,"mIoU":0.2)")),
                                       read_run(run_with(at("fuller-1"), R"("mAP":0.55,"NDS":0.63,"mIoU":0.36)")),
                                       read_run("other=" + run_with(at("fuller-2"), R"("mAP":0.4,"NDS":0.5)"))};
  ComparisonOptions options;
  options.baseline = "sum";
  const auto groups = compare(runs, {{"detection", {detection}}, {"segmentation", {segmentation}}}, options);
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].name == "fuller");
  REQUIRE(groups[0].runs.size() == 2);
  // Drops of fuller-0: 0.05/0.5 + 0.03/0.6 - 0.04/0.4 = 0.05, over 2 tasks. Those of fuller-1 are the same, negated.
  CHECK(groups[0].delta_mtl[0] == Approx(0.025));
  CHECK(groups[0].delta_mtl[1] == Approx(-0.025));
  CHECK(groups[0].deltas().mean() == Approx(0).margin(1e-12));
  CHECK(groups[0].deltas().deviation() == Approx(0.025 * std::sqrt(2.0)));
  // Gains over the sum: 0.05 + 0.07 + 0.24 and 0.15 + 0.13 + 0.16, over 3 metrics.
  CHECK(groups[0].lambda_mtl[0] == Approx(0.12));
  CHECK(groups[0].lambda_mtl[1] == Approx(0.44 / 3));
  // sum: 0.1/0.5 + 0.1/0.6 + 0.2/0.4 = 13/15, over 2.
  CHECK(groups[1].delta_mtl[0] == Approx(13.0 / 30));
  CHECK(groups[1].lambda_mtl[0] == Approx(0).margin(1e-12));
  CHECK(groups[2].name == "other");
  CHECK(std::isnan(groups[2].delta_mtl[0]));  // it has no mIoU

  ComparisonOptions by_metrics = options;
  by_metrics.delta_divisor = 3;
  CHECK(compare(runs, {{"detection", {detection}}, {"segmentation", {segmentation}}}, by_metrics)[0].delta_mtl[0] ==
        Approx(0.05 / 3));
  CHECK(std::isnan(compare(runs, {}, {})[0].delta_mtl[0]));
  CHECK(std::isnan(compare(runs, {}, {})[0].lambda_mtl[0]));
  options.baseline = "nobody";
  CHECK(refusal<std::exception>([&] { compare(runs, {}, options); }).find("nobody") != std::string::npos);
  options.baseline = "sum";

  SECTION("tables") {  // "-" for each task that no run has, from foreground on; who prints them leaves out empty columns
    const TableRows results = result_rows(groups);
    CHECK(results[1] == std::vector<std::string>{"fuller", "2", "0.5000 ± 0.0707", "0.6000 ± 0.0424", "0.4000 ± 0.0566", "-", "-",
                                                 "-", "-", "-", "-", "0.00 ± 3.54", "13.33 ± 1.89"});
    CHECK(results[3] == std::vector<std::string>{"other", "1", "0.4000", "0.5000", "-", "-", "-", "-", "-", "-", "-", "-", "-"});
    const TableRows gradients = gradient_rows(groups);
    // Conflicts 1 and 0, cosines -0.5 and 0.5, 1.0 s in 4 steps, 0.1 s of them waiting.
    CHECK(gradients[2] ==
          std::vector<std::string>{"sum", "2.50 / 4.00", "1.00 / 1.00", "1.50 / 1.50", "50.0", "0.000", "0.250", "10.0"});
    const TableRows without = missing_rows(groups);
    REQUIRE(without.size() == 4);
    CHECK(without[2] ==
          std::vector<std::string>{"fuller", "no camera", "0.3000", "0.4000", "0.1000", "-", "-", "-", "-", "-", "-"});
    CHECK(without[3] ==
          std::vector<std::string>{"fuller", "no lidar", "0.0000", "0.1000", "0.2000", "-", "-", "-", "-", "-", "-"});
  }
  SECTION("files") {
    const auto lines = csv_lines(groups);
    REQUIRE(lines.size() == 5);
    CHECK(lines[0].rfind(
              "group,folder,parameters,mAP,NDS,mIoU,foreground_mIoU,waypoint_L2,control_error,speed_error,red_light_accuracy,"
              "camera_mIoU,delta_mtl,lambda_mtl,gamma_task_median",
              0) == 0);
    CHECK(lines[1].rfind("fuller," + at("fuller-0").string() + ",250000,0.45,0.57,0.44,,,,,,,0.025,0.12,2.5,4,", 0) == 0);
    const auto json = nlohmann::ordered_json::parse(report_json(groups, options).dump());
    CHECK(json.at("delta_divisor") == 2);
    CHECK(json.at("groups").at(0).at("runs").at(1).at("delta_mtl").get<double>() == Approx(-0.025));
    CHECK(json.at("groups").at(2).at("delta_mtl").at("mean").is_null());
    write_page(folder.path() / "index.html", groups, options);
    const std::string page = text_of(folder.path() / "index.html");
    for (const char* part : {"<td>0.5000 ± 0.0707</td>", "no camera", "γ_modal", "aria-label=\"mAP\"", "aria-label=\"lidar\"",
                             "/ 2.", "Λ_MTL = (gains of the same over sum, summed) / 3."}) {
      INFO(part);
      CHECK(page.find(part) != std::string::npos);
    }
    CHECK(page.find("nan") == std::string::npos);
  }
}

TEST_CASE("foreground segmentation counts as the third task that it is", "[bevfusion][report]") {
  // FULLER's Table 6, in hundredths. Its own row of the baseline has divisor 3; with it, FULLER's 19.81 summed are 6.6.
  const auto run_of = [](const std::string& name, const std::vector<std::string>& tasks, const Figures& figures) {
    RunRecord run;
    run.group = name;
    run.facts.tasks = tasks;
    run.figures = figures;
    return run;
  };
  const std::vector<std::string> three = {"detection", "segmentation", "foreground"};
  const RunRecord detection = run_of("det", {"detection"}, {{"mAP", 0.621}, {"NDS", 0.666}});
  const RunRecord segmentation = run_of("seg", {"segmentation"}, {{"mIoU", 0.623}});
  const RunRecord foreground = run_of("fore", {"foreground"}, {{"foreground_mIoU", 0.638}});
  const RunRecord sum = run_of("sum", three, {{"mAP", 0.599}, {"NDS", 0.658}, {"mIoU", 0.469}, {"foreground_mIoU", 0.581}});
  RunRecord fuller = run_of("fuller", three, {{"mAP", 0.586}, {"NDS", 0.646}, {"mIoU", 0.571}, {"foreground_mIoU", 0.620}});
  ComparisonOptions options;
  options.baseline = "sum";
  const auto groups = compare(
      {sum, fuller}, {{"detection", {detection}}, {"segmentation", {segmentation}}, {"foreground", {foreground}}}, options);
  CHECK(groups[0].compared == std::vector<std::string>{"mAP", "NDS", "mIoU", "foreground_mIoU"});
  CHECK(groups[0].delta_divisor == 3);
  CHECK(groups[0].lambda_divisor == 4);
  CHECK(100 * groups[0].delta_mtl[0] == Approx(12.8).margin(0.05));
  CHECK(100 * groups[1].delta_mtl[0] == Approx(19.81 / 3).margin(0.005));
  // Gains -1.3, -1.2, 10.2 and 3.9, over 4 metrics.
  CHECK(100 * groups[1].lambda_mtl[0] == Approx(11.6 / 4));
  CHECK(groups[1].missing_for_delta.empty());

  // A worse foreground shows in both.
  fuller.figures["foreground_mIoU"] = 0.008;
  const auto worse = compare(
      {sum, fuller}, {{"detection", {detection}}, {"segmentation", {segmentation}}, {"foreground", {foreground}}}, options);
  CHECK(worse[1].delta_mtl[0] - groups[1].delta_mtl[0] == Approx(0.612 / 0.638 / 3));
  CHECK(worse[1].lambda_mtl[0] - groups[1].lambda_mtl[0] == Approx(-0.612 / 4));

  // It is not left out where there is nothing to compare it with; what is missing is said.
  const auto without = compare({sum, fuller}, {{"detection", {detection}}, {"segmentation", {segmentation}}}, options);
  CHECK(std::isnan(without[1].delta_mtl[0]));
  CHECK(without[1].missing_for_delta.find("--single-foreground") != std::string::npos);
  const RunRecord two = run_of("two", {"detection", "segmentation"}, {{"mAP", 0.6}, {"NDS", 0.6}, {"mIoU", 0.6}});
  ComparisonOptions from_two;
  from_two.baseline = "two";
  const auto mixed =
      compare({two, sum}, {{"detection", {detection}}, {"segmentation", {segmentation}}, {"foreground", {foreground}}}, from_two);
  CHECK(mixed[0].delta_divisor == 2);
  CHECK(mixed[1].delta_divisor == 3);
  CHECK(divisor_text(mixed, &RunGroup::delta_divisor) == "2 (two), 3 (sum)");
  CHECK(std::isnan(mixed[1].lambda_mtl[0]));
  CHECK(mixed[1].missing_for_lambda.find("foreground_mIoU") != std::string::npos);
  CHECK(report_json(mixed, from_two).at("delta_divisor").is_null());

  // Detection's parts are one task, and one task alone has no multi-task drop.
  const RunRecord split =
      run_of("split", {"box", "classification", "velocity", "segmentation"}, {{"mAP", 0.6}, {"NDS", 0.6}, {"mIoU", 0.6}});
  CHECK(compare({split}, {{"detection", {detection}}, {"segmentation", {segmentation}}}, {})[0].delta_divisor == 2);
  CHECK(std::isnan(compare({detection}, {{"detection", {detection}}, {"segmentation", {segmentation}}}, {})[0].delta_mtl[0]));
  RunRecord other = sum;
  other.facts.tasks.pop_back();
  CHECK(refusal<std::exception>([&] { compare({sum, other}, {}, options); }).find("different tasks") != std::string::npos);
  options.delta_divisor = -1;
  CHECK(refusal<std::exception>([&] { compare({sum}, {}, options); }).find("negative") != std::string::npos);
}

TEST_CASE("a single-task figure of 0 has no relative drop", "[bevfusion][report]") {
  RunRecord run;
  run.group = "run";
  run.figures = {{"mAP", 0.1}, {"NDS", 0.1}, {"mIoU", 0.1}};
  RunRecord nothing = run;
  nothing.figures["mAP"] = 0;
  CHECK(std::isnan(compare({run}, {{"detection", {nothing}}, {"segmentation", {run}}}, {})[0].delta_mtl[0]));
}

TEST_CASE("twins and where sensors look are on the page where a run has them", "[bevfusion][report]") {
  const bevfusion::testing::TemporaryFolder folder;
  const std::string plain = run_with(folder.path() / "plain-0", R"("mAP":0.4)");
  const auto page_of = [&](const std::vector<std::string>& choices) {
    std::vector<RunRecord> runs;
    for (const std::string& choice : choices) {
      runs.push_back(read_run(choice));
    }
    write_page(folder.path() / "report" / "index.html", compare(runs, {}, {}), {});
    return text_of(folder.path() / "report" / "index.html");
  };
  std::filesystem::create_directories(folder.path() / "report");
  const std::string without = page_of({plain});
  CHECK(without.find("of twins") == std::string::npos);
  CHECK(without.find("Losses of twins") == std::string::npos);
  CHECK(without.find("Where sensors look") == std::string::npos);

  std::string log = steps;
  log.replace(log.find("\"parameters\":250000"), 19, R"("parameters":250000,"twins":"detection","twin_parameters":123456)");
  for (std::size_t at = log.find("\"losses\""); at != std::string::npos; at = log.find("\"losses\"", at + 40)) {
    log.insert(at, R"("twins":{"detection":2.5},)");
  }
  const std::filesystem::path taught = folder.path() / "my runs" / "taught-0";
  write(taught / "log.jsonl", log);
  write(taught / "evaluation.json", R"({"mAP":0.4})");
  for (const char* name : {"7_ab_scale1_bev.png", "7_ab_scale1_cameras.png", "7_ab_scale2_bev.png", "12_cd_scale1_bev.png"}) {
    write(taught / "attention" / name, "");
  }
  write(taught / "attention" / "index.html", "");
  const RunRecord run = read_run(taught.string());
  CHECK(run.twin_parameters == 123456);
  CHECK(run.median_of("twins/detection") == Approx(2.5));
  CHECK(run.steps.at("twins/detection").values.size() == 4);
  const std::string page = page_of({plain, taught.string()});
  CHECK(page.find("<td>123456</td>") != std::string::npos);
  CHECK(page.find("Losses of twins") != std::string::npos);
  const std::size_t above = page.find("<img src=\"../my%20runs/taught-0/attention/7_ab_scale1_bev.png\"");
  const std::size_t cameras = page.find("<img src=\"../my%20runs/taught-0/attention/7_ab_scale1_cameras.png\"");
  const std::size_t coarser = page.find("<img src=\"../my%20runs/taught-0/attention/7_ab_scale2_bev.png\"");
  CHECK(above < cameras);
  CHECK(cameras < coarser);
  CHECK(coarser != std::string::npos);
  CHECK(page.find("12_cd_scale1_bev.png") == std::string::npos);  // of another sample
  CHECK(page.find("<a href=\"../my%20runs/taught-0/attention/index.html\">attention</a>") != std::string::npos);
}
