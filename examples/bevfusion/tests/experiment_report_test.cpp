// SPDX-License-Identifier: Apache-2.0
// The report of an experiment, of run folders written by hand, against figures worked out by hand.
#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "bevfusion/experiments/experiment_results.hpp"
#include "bevfusion/experiments/known_runs.hpp"
#include "bevfusion/report/courses.hpp"
#include "bevfusion/report/embedded_picture.hpp"
#include "bevfusion/report/experiment_figures.hpp"
#include "bevfusion/report/experiment_page.hpp"
#include "bevfusion/report/experiment_report.hpp"
#include "bevfusion/report/experiment_tables.hpp"
#include "bevfusion/report/findings.hpp"
#include "bevfusion/report/power.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/tests/support/small_experiment.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::small_experiment;
using bevfusion::testing::TemporaryFolder;

std::string text_of(const std::filesystem::path& file) {
  std::stringstream text;
  text << std::ifstream(file).rdbuf();
  return text.str();
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

const FigureCell& cell_of(const FinishedExperiment& experiment, const ExperimentFigures& figures, const std::string& row,
                          const std::string& column) {
  const auto place = static_cast<std::size_t>(experiment.sheet.column(column) - experiment.sheet.columns.data());
  return figures.row(row)->cells.at(place);
}

std::vector<double> finite_of(std::vector<double> values) {
  values.erase(std::remove_if(values.begin(), values.end(), [](double value) { return !std::isfinite(value); }), values.end());
  return values;
}

}  // namespace

TEST_CASE("the power of a paired t test is the noncentral t distribution's", "[bevfusion][report]") {
  // scipy.stats: nct.sf(t.ppf(0.975, n - 1), n - 1, effect * sqrt(n))
  CHECK(power_of(2, 1.0) == Approx(0.09057972).margin(2e-6));
  CHECK(power_of(5, 1.0) == Approx(0.40132029).margin(1e-6));
  CHECK(power_of(5, 2.0) == Approx(0.90888486).margin(1e-6));
  CHECK(power_of(34, 0.5) == Approx(0.80777669).margin(1e-6));
  CHECK(power_of(199, 0.2) == Approx(0.80169009).margin(1e-6));
  // Without an effect it finds one on a given side in half of 5 %.
  CHECK(power_of(7, 0) == Approx(0.025).margin(1e-7));
}

TEST_CASE("how many pairs of seeds would show a difference", "[bevfusion][report]") {
  // The least n of the same distribution with a power of 0.8, by a search in scipy.
  CHECK(pairs_that_show(3, 1) == 4);
  CHECK(pairs_that_show(2, 1) == 5);
  CHECK(pairs_that_show(-1, 1) == 10);
  CHECK(pairs_that_show(5, 10) == 34);
  CHECK(pairs_that_show(0.2, 1) == 199);
  CHECK(pairs_that_show(0.1, 1) == 787);
  CHECK(pairs_that_show(0.01, 1) == 0);  // more than 1000
  CHECK(pairs_that_show(0.3, 0) == 2);
  CHECK(pairs_that_show(0, 1) == 0);
  CHECK(pairs_that_show(1, std::nan("")) == 0);
}

TEST_CASE("differences are of runs of the same seed", "[bevfusion][report]") {
  const double nan = std::nan("");
  CHECK(paired_differences({1, 2, 3}, {5, 6, 7}, {3, 1, 4}, {1, 2, 3}) == std::vector<double>{3, 6});
  CHECK(paired_differences({1, 2}, {5, nan}, {1, 2}, {nan, 2}).empty());
  CHECK(paired_differences({1, 1}, {5, 6}, {1}, {1}) == std::vector<double>{4});
}

TEST_CASE("an experiment's table is worked out beside the paper's", "[bevfusion][report]") {
  const TemporaryFolder folder;
  const FinishedExperiment experiment = small_experiment(folder.path());
  const ExperimentFigures figures = experiment_figures(experiment);
  REQUIRE(figures.rows.size() == experiment.sheet.rows.size());
  CHECK(figures.unreadable.empty());

  // mIoU of both: 50, 53, 52 %, of the baseline 30, 31, 32 %: mean 51.67; differences 20, 22, 20, whose mean is 62 / 3, deviation
  // sqrt(4 / 3), and t of two degrees of freedom 4.303.
  const FigureCell& both = cell_of(experiment, figures, "both", "mIoU");
  CHECK(both.mean == Approx(155.0 / 3));
  CHECK(both.half_width == Approx(4.303 * std::sqrt(7.0 / 3) / std::sqrt(3.0)));
  CHECK(both.paper == 58.4);
  CHECK(both.difference.runs == 3);
  CHECK(both.difference.value == Approx(62.0 / 3));
  CHECK(both.pair_deviation == Approx(std::sqrt(4.0 / 3)));
  CHECK(both.difference.half_width == Approx(4.303 * std::sqrt(4.0 / 9)));
  CHECK(both.paper_difference == Approx(14.4));
  CHECK(both.verdict == Verdict::agrees);
  // mAP of both: 40, 44, 42 against 41, 42, 43: differences -1, 2, -1, mean 0.
  CHECK(cell_of(experiment, figures, "both", "mAP").difference.value == Approx(0).margin(1e-12));
  CHECK(cell_of(experiment, figures, "both", "mAP").verdict == Verdict::inside_noise);
  // inter's mAP: 39, 40, 41 against 41, 42, 43: -2 each, where the paper has -2.0; its mIoU is below by 5 each, the paper's
  // above.
  CHECK(cell_of(experiment, figures, "inter", "mAP").verdict == Verdict::agrees);
  CHECK(cell_of(experiment, figures, "inter", "mAP").difference.half_width == Approx(0).margin(1e-12));
  CHECK(cell_of(experiment, figures, "inter", "mIoU").verdict == Verdict::disagrees);
  // intra has one run that is done.
  CHECK(cell_of(experiment, figures, "intra", "mAP").verdict == Verdict::one_seed);
  CHECK(std::isnan(cell_of(experiment, figures, "intra", "mAP").difference.half_width));
  CHECK(cell_of(experiment, figures, "baseline", "mAP").verdict == Verdict::none);

  // Delta_MTL of the baseline, seed 1: single networks have mAP 50 and NDS 60 % and mIoU 60 %; (9/50 + 6/60 + 30/60) / 2.
  CHECK(cell_of(experiment, figures, "baseline", "delta_mtl").values[0] == Approx(100 * (0.18 + 0.1 + 0.5) / 2));
  // The medians of the steps: 2, 10, 3, 1 in every log.
  CHECK(cell_of(experiment, figures, "both", "gamma_task").mean == Approx(2.5));
  CHECK(cell_of(experiment, figures, "both", "without camera/mIoU").mean == Approx(10));
  CHECK(cell_of(experiment, figures, "both", "peak_bytes").mean == Approx(1.5));
}

TEST_CASE("runs that a file of results knows count as those that are here", "[bevfusion][report]") {
  const TemporaryFolder folder;
  const FinishedExperiment whole = small_experiment(folder.path() / "here");
  FinishedExperiment earlier = whole, rest = whole;
  std::filesystem::create_directories(folder.path() / "there");
  for (ExperimentRun& run : earlier.runs) {
    run.state = run.seed == 3 ? RunState::not_started : run.state;
  }
  write_results(folder.path() / "there", earlier);
  for (ExperimentRun& run : rest.runs) {
    if (run.seed != 3) {
      run.state = RunState::not_started;
      run.folder = folder.path() / "gone" / run.folder.filename();
    }
  }
  const std::filesystem::path file = folder.path() / "there" / "results.json";
  const bool names_tasks = GENERATE(true, false);
  if (!names_tasks) {  // as 0.1 wrote it
    nlohmann::json json = nlohmann::json::parse(text_of(file));
    for (nlohmann::json& row : json["rows"]) {
      for (nlohmann::json& run : row["runs"]) {
        run.erase("tasks");
      }
    }
    std::ofstream(file) << json;
  }
  KnownRuns({file}).complete(rest);
  const auto known = std::find_if(rest.runs.begin(), rest.runs.end(), [](const ExperimentRun& run) { return run.row == "both"; });
  CHECK(known->known_from == file.string());
  CHECK(known->machine == "a processor with two cores");
  CHECK(known->train_command == whole.of_row("both").at(0)->train_command);
  CHECK(std::count_if(rest.runs.begin(), rest.runs.end(), [](const ExperimentRun& run) { return run.known_from.empty(); }) ==
        6 + 1);  // the third seed, and intra's second, which had failed

  const ExperimentFigures expected = experiment_figures(whole);
  const ExperimentFigures got = experiment_figures(rest);
  CHECK(got.unreadable.empty());
  // Delta_MTL is counted from all single networks' mean, here and there; training's seconds are of the log.
  for (const char* row : {"detection", "segmentation", "baseline", "intra", "inter", "both"}) {
    for (const FigureColumn& column : whole.sheet.columns) {
      INFO(row << ", " << column.key);
      const FigureCell& mine = cell_of(rest, got, row, column.key);
      const FigureCell& theirs = cell_of(whole, expected, row, column.key);
      CHECK(finite_of(mine.values) == finite_of(theirs.values));
      CHECK(finite_of({mine.mean, mine.half_width, mine.difference.value, mine.difference.half_width}) ==
            finite_of({theirs.mean, theirs.half_width, theirs.difference.value, theirs.difference.half_width}));
    }
  }
  // The page has them too: the same table, and bars of what is left without a sensor.
  CHECK(got.row("both")->group.missing("camera", "mIoU").values == expected.row("both")->group.missing("camera", "mIoU").values);
  const auto table_in = [&](const FinishedExperiment& experiment, const char* name) {
    write_experiment_report(folder.path() / name, experiment);
    std::istringstream text(text_of(folder.path() / name / "report.md"));
    std::string table, line;
    while (std::getline(text, line)) {
      table += line.rfind("| ", 0) == 0 ? line + "\n" : "";
    }
    return table;
  };
  CHECK(table_in(rest, "page") == table_in(whole, "whole page"));
  CHECK(holds(text_of(folder.path() / "page" / "index.html"), "known from " + file.string()));
  // Once more through a file: what was known is kept.
  write_results(folder.path() / "there", rest);
  FinishedExperiment again = rest;
  for (ExperimentRun& run : again.runs) {
    run.state = RunState::not_started;
    run.known_from.clear();
  }
  KnownRuns({file}).complete(again);
  CHECK(cell_of(again, experiment_figures(again), "both", "delta_mtl").mean ==
        Approx(cell_of(whole, expected, "both", "delta_mtl").mean));

  std::ofstream(folder.path() / "other.json") << "[3]";
  const auto refusal = [&](const char* name) {
    try {
      KnownRuns({folder.path() / name});
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string("nothing");
  };
  CHECK(holds(refusal("other.json"), "other.json holds no results of an experiment"));
  CHECK(holds(refusal("none.json"), "none.json: cannot be read; --known takes"));
}

TEST_CASE("parameters are counted against the experts' of the same tasks together", "[bevfusion][report]") {
  const TemporaryFolder folder;
  FinishedExperiment experiment = small_experiment(folder.path());
  FigureColumn column;
  column.key = "parameter_ratio";
  column.scale = 100;
  experiment.sheet.columns.push_back(column);
  for (const ExperimentRun& run : experiment.runs) {
    if (run.row == "detection" || run.row == "segmentation") {  // 150000 and 250000 where the others have 250000
      std::string log = text_of(run.folder / "log.jsonl");
      const std::string all = "\"parameters\":250000";
      log.replace(log.find(all), all.size(), run.row == "detection" ? "\"parameters\":150000" : all);
      std::ofstream(run.folder / "log.jsonl") << log;
    }
  }
  const ExperimentFigures figures = experiment_figures(experiment);
  CHECK(cell_of(experiment, figures, "both", "parameter_ratio").mean == Approx(62.5));
  CHECK(std::isnan(cell_of(experiment, figures, "detection", "parameter_ratio").mean));
  // Without an expert of one of its tasks there is nothing to count against.
  const auto segmentation = [](const ExperimentRun& run) { return run.row == "segmentation"; };
  experiment.runs.erase(std::remove_if(experiment.runs.begin(), experiment.runs.end(), segmentation), experiment.runs.end());
  CHECK(std::isnan(cell_of(experiment, experiment_figures(experiment), "both", "parameter_ratio").mean));
}

TEST_CASE("courses are medians of steps, means over seeds", "[bevfusion][report]") {
  const TemporaryFolder folder;
  const FinishedExperiment experiment = small_experiment(folder.path());
  const ExperimentFigures figures = experiment_figures(experiment);
  const RowFigures& both = *figures.row("both");
  using Points = std::vector<std::pair<double, double>>;
  CHECK(over_steps(both, "gamma_task").points == Points{{1, 2}, {2, 10}, {3, 3}, {4, 1}});
  CHECK(over_epochs(both, "mAP", 100).points == Points{{1, 10}, {2, 30}});
  CHECK(over_gradient_rows(both).points == Points{{1, 4}, {2, 1}, {3, 2}});
  CHECK(over_gradient_rows(both).band.size() == 3);
  CHECK(names_of_kind(both, "gates/") == std::vector<std::string>{"camera", "lidar"});
  CHECK(numbers_of({over_epochs(both, "mAP", 100)}, "epoch") == TableRows{{"epoch", "1", "2"}, {"both", "10", "30"}});
  // gamma_task 2, 10, 3, 1: never below 1, so the larger over the smaller is the same: median 2.5, mean 4.
  const TableRows ratios = ratio_rows(figures);
  CHECK(ratios.back() ==
        std::vector<std::string>{"both", "2.50 / 4.00", "2.50 / 4.00", "1.25 / 1.25", "1.50 / 1.50", "100.0", "\u22120.500"});
  CHECK(ratios.size() == 5);
  CHECK(cost_rows(figures).back() == std::vector<std::string>{"both", "0.0", "0.400", "25.0", "1.40", "250000"});
}

TEST_CASE("what is found is said with its figures", "[bevfusion][report]") {
  const TemporaryFolder folder;
  const FinishedExperiment experiment = small_experiment(folder.path());
  const ExperimentFigures figures = experiment_figures(experiment);
  const std::vector<Finding> findings = findings_of(experiment.sheet, figures);
  const auto finding = [&](const std::string& row, const std::string& column) {
    return *std::find_if(findings.begin(), findings.end(),
                         [&](const Finding& one) { return one.row->row->key == row && one.column->key == column; });
  };
  // mAP, mIoU and Delta_MTL of three rows.
  CHECK(findings.size() == 9);
  CHECK(count_of(findings, Verdict::one_seed) == 3);
  // Of scipy, as above: 62 / 3 at a deviation of sqrt(4 / 3), and the paper's 1.4 at one of sqrt(3).
  CHECK(finding("both", "mIoU").seeds_for_ours == 2);
  CHECK(finding("both", "mAP").seeds_for_ours == 0);
  CHECK(finding("both", "mAP").seeds_for_papers == 15);

  CHECK(holds(answer(experiment, figures, findings), "\u0394_MTL"));
  CHECK(holds(answer(experiment, figures, findings), "3 seeds"));
  CHECK(holds(answer(experiment, figures, findings), "the paper has \u221212.9"));
  CHECK(holds(sentence_of(finding("both", "mIoU")), "we have +20.7 points (95 % interval +17.8 to +23.5, 3 seeds): shown."));
  CHECK(holds(sentence_of(finding("both", "mAP")), "not shown"));
  CHECK(holds(sentence_of(finding("inter", "mIoU")), "it is not the paper\u2019s"));
  CHECK(holds(sentence_of(finding("intra", "mAP")), "one seed alone"));
  // Where the paper prints nothing: the largest difference in the first figure, mAP's 2 points of inter.
  CHECK(holds(answer(experiment, figures, {}), "mAP of inter is 2.0 points lower than that of baseline"));
  CHECK(holds(answer(experiment, figures, {}), "The paper prints no figure of it."));
  const std::vector<std::string> orders = order_sentences(experiment.sheet, figures, findings);
  REQUIRE(orders.size() == 1);
  CHECK(holds(orders[0], "the paper has baseline > intra > inter > both"));
}

TEST_CASE("an experiment of which nothing is done says so", "[bevfusion][report]") {
  const TemporaryFolder folder;
  FinishedExperiment experiment = small_experiment(folder.path());
  for (ExperimentRun& run : experiment.runs) {
    run.state = RunState::not_started;
  }
  const ExperimentFigures figures = experiment_figures(experiment);
  CHECK(holds(answer(experiment, figures, findings_of(experiment.sheet, figures)), "No run is done"));
  CHECK(problems(experiment, figures).size() == experiment.runs.size());
  FinishedExperiment impossible = experiment;
  impossible.runs.clear();
  impossible.sheet.cannot = "No weights of ImageNet are at hand.";
  CHECK(answer(impossible, figures, {}) == "Nothing of this is run: No weights of ImageNet are at hand.");
  CHECK(holds(experiment_page(experiment, figures), "No run is done"));
}

TEST_CASE("runs that are not in the figures are named", "[bevfusion][report]") {
  const TemporaryFolder folder;
  FinishedExperiment experiment = small_experiment(folder.path());
  std::ofstream(folder.path() / "runs" / "both-2" / "evaluation.json") << "{\"mAP\":";
  const ExperimentFigures figures = experiment_figures(experiment);
  CHECK(figures.row("both")->runs.size() == 2);
  const std::vector<std::string> named = problems(experiment, figures);
  REQUIRE(named.size() == 3);
  CHECK(holds(named[0], "intra, seed 2: failed (loss is not finite)"));
  CHECK(holds(named[1], "intra, seed 3: interrupted"));
  CHECK((holds(named[2], "both, seed 2") && holds(named[2], "evaluation.json")));
  const std::string page = experiment_page(experiment, figures);
  CHECK(holds(page, "3 runs are not in these figures"));
  CHECK(page.find("not in these figures") < page.find("<table"));
}

TEST_CASE("an experiment's report is a page, Markdown, CSV and JSON", "[bevfusion][report]") {
  const TemporaryFolder folder;
  const FinishedExperiment experiment = small_experiment(folder.path());
  const std::vector<std::string> said = write_experiment_report(folder.path() / "report", experiment);
  REQUIRE(said.size() == 2);
  const std::string page = text_of(folder.path() / "report" / "index.html");
  CHECK(holds(page, said[0]));
  for (const char* absent : {"<script", "http-equiv", "src=\"http", "href=\"http", "@import", "url("}) {
    CHECK(!holds(page, absent));  // it needs nothing but itself
  }
  CHECK(holds(page, "51.7 <small>\u00b1 3.8</small>"));
  CHECK(holds(page, "bevfusion train --config baseline.toml --out 'my runs/both-1'"));
  CHECK(holds(page, "data:image/png;base64,"));
  for (const char* figure : {"<h3>Figure 4: The branches' norms</h3>", "<h3>Figure 6 b: w_img / w_lid</h3>",
                             "<h3>Figure 6 a: The losses</h3>", "<h3>Figure 2: The training loss</h3>"}) {
    CHECK(holds(page, figure));
  }
  CHECK(holds(page, "At the end: camera 2, lidar 3."));            // of the branches' norms
  CHECK(holds(page, "At the end: detection 4, segmentation 1."));  // of the losses
  CHECK(holds(page, "Figure 2: The training loss. At the end: both 5."));
  CHECK(holds(page, "Figure 6 b: w_img / w_lid. At the end: both 1.67."));  // a gate of 0.6 at the last step
  CHECK(holds(page, "28 beams off"));
  const std::string markdown = text_of(folder.path() / "report" / "report.md");
  CHECK(holds(markdown, "| both | 3 |"));
  CHECK(holds(markdown, "51.7 \u00b1 3.8 (58.4) agrees"));

  const auto json = nlohmann::json::parse(text_of(folder.path() / "report" / "report.json"));
  CHECK(json["findings"].size() == 9);
  CHECK(json["runs"].size() == experiment.runs.size());
  const auto& both = json["rows"].back();
  CHECK(both["key"] == "both");
  CHECK(both["figures"]["mIoU"]["values"][1].get<double>() == Approx(53));
  CHECK(both["figures"]["mIoU"]["difference"]["verdict"] == "agrees");

  std::stringstream csv(text_of(folder.path() / "report" / "runs.csv"));
  std::string line;
  std::size_t lines = 0;
  std::string last;
  while (std::getline(csv, line)) {
    ++lines;
    last = line;
  }
  CHECK(lines == 1 + experiment.runs.size());
  CHECK(holds(last, "both,,both,3,done,"));
  CHECK(holds(last, ",42,54,52,"));  // mAP, NDS, mIoU
}

TEST_CASE("a taught row's scenes show what its teachers find", "[bevfusion][report]") {
  const TemporaryFolder folder;
  const FinishedExperiment experiment = small_experiment(folder.path());
  constexpr std::uint32_t side = 120;
  std::vector<std::uint8_t> pixels;
  for (std::uint32_t y = 0; y < side; ++y) {
    for (const std::uint8_t grey : {std::uint8_t{230}, std::uint8_t{70}, std::uint8_t{90}}) {
      pixels.insert(pixels.end(), side, grey);
      pixels.insert(pixels.end(), grey == 90 ? 0 : 4, 128);
    }
  }
  const auto run = std::find_if(experiment.runs.begin(), experiment.runs.end(),
                                [](const ExperimentRun& one) { return one.row == "both" && one.seed == 1; });
  const auto drawn = run->folder / "predictions" / "15_f9ada94c_bev.png";
  std::ofstream(drawn, std::ios::binary) << example::png(pixels, 3 * side + 8, side);
  bevfusion::testing::write_picture(run->folder / "predictions" / "15_f9ada94c_beside_cameras.png", 100, 60, 200);
  const auto middle = middle_square(read_png(drawn));
  REQUIRE(middle);
  CHECK((middle->width == side && middle->height == side));
  CHECK(std::all_of(middle->rgb.begin(), middle->rgb.end(), [](std::uint8_t value) { return value == 70; }));
  CHECK_FALSE(middle_square({239, 80, std::vector<std::uint8_t>(3 * 239 * 80)}));
  write_experiment_report(folder.path() / "report", experiment);
  const std::string page = text_of(folder.path() / "report" / "index.html");
  CHECK(holds(page, "Scene 1 from above: what the teachers of both find"));
  CHECK(holds(page, "boxes of teachers of both beside the annotated ones"));
  CHECK(!holds(page, "teachers of inter"));
}

TEST_CASE("a command line is quoted where a shell needs it", "[bevfusion][report]") {
  CHECK(command_line({"a", "b c", "it's", "--x=1", ""}) == "a 'b c' 'it'\\''s' --x=1 ''");
}
