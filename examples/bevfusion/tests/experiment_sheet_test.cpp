// SPDX-License-Identifier: Apache-2.0
// The papers' experiments as files: all there, readable, and their figures consistent with the papers' own definitions.
#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "bevfusion/experiments/experiment_plan.hpp"
#include "bevfusion/experiments/run_key.hpp"
#include "bevfusion/tests/support/planned_experiments.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using namespace bevfusion::testing;
namespace fs = std::filesystem;

std::vector<ExperimentSheet> all_sheets() {
  std::vector<ExperimentSheet> sheets;
  for (const std::string& name : experiment_names(configs())) {
    sheets.push_back(read_experiment_sheet(configs() / "experiments" / (name + ".toml")));
  }
  return sheets;
}

std::string refusal(const std::string& text) {
  try {
    parse_experiment_sheet(text, "sheet");
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "";
}

const std::string least =
    "paper = \"P\"\nplace = \"Table 1\"\ntitle = \"t\"\nshows = \"s\"\nexpected = \"e\"\n[[column]]\nkey = \"mAP\"\nlabel = "
    "\"mAP\"\n";

TEST_CASE("every table and figure of the papers is listed, in the papers' order, and what no paper has after them",
          "[bevfusion][experiments]") {
  const std::vector<std::string> wanted = {"fuller_table_1",
                                           "fuller_table_2",
                                           "fuller_table_3",
                                           "fuller_table_4",
                                           "fuller_table_5",
                                           "fuller_table_6",
                                           "fuller_figure_3",
                                           "fuller_figure_4",
                                           "fuller_figure_5",
                                           "fuller_figure_6",
                                           "fuller_figure_6b",
                                           "fuller_figure_7",
                                           "fuller_supplement_table_3",
                                           "fuller_supplement_table_4",
                                           "fuller_supplement_table_5",
                                           "fuller_supplement_table_6",
                                           "fuller_supplement_figure_2",
                                           "wpcgrad_table_1",
                                           "wpcgrad_table_2",
                                           "wpcgrad_table_3",
                                           "wpcgrad_table_4",
                                           "wpcgrad_table_5",
                                           "wpcgrad_figure_2",
                                           "dmfuser",
                                           "dmfuser_driving",
                                           "dmfuser_repository",
                                           "own_every",
                                           "own_optimizer",
                                           "own_sensors",
                                           "own_tuning"};
  CHECK(experiment_names(configs()) == wanted);
  const std::string list = experiment_list(configs());
  for (const std::string& name : wanted) {
    CHECK(list.find(name) != std::string::npos);
  }
}

TEST_CASE("an experiment says what it is run with, or why it is not", "[bevfusion][experiments]") {
  for (const ExperimentSheet& sheet : all_sheets()) {
    INFO(sheet.name);
    if (!sheet.can_run()) {
      const bool rows_say = !sheet.rows.empty() && std::all_of(sheet.rows.begin(), sheet.rows.end(),
                                                               [](const ExperimentRow& row) { return !row.needs.empty(); });
      CHECK((!sheet.needs.empty() || !sheet.cannot.empty() || rows_say));
      continue;
    }
    CHECK(sheet.seeds.count("tiny") + sheet.seeds.count("small") + sheet.seeds.count("full") == 3);
    CHECK(sheet.seeds.at("tiny") >=
          (sheet.name == "fuller_table_1" || sheet.name == "fuller_table_4" || sheet.name == "own_every" ? 5 : 3));
    CHECK(!sheet.columns.empty());
    for (const ExperimentRow& row : sheet.rows) {
      INFO(row.key);
      CHECK((!row.needs.empty() || fs::exists(configs() / row.config)));
    }
  }
}

// What a figure is drawn of has to be in the log, where it is only on request.
TEST_CASE("a sheet with the gradient's rows in a figure has them measured", "[bevfusion][experiments]") {
  std::size_t sheets = 0;
  for (const ExperimentSheet& sheet : all_sheets()) {
    if (std::none_of(sheet.plots.begin(), sheet.plots.end(),
                     [](const PaperPlot& plot) { return plot.kind == "gradient_rows"; })) {
      continue;
    }
    ++sheets;
    for (const ExperimentRow& row : sheet.rows) {
      INFO(sheet.name << ", " << row.key);
      CHECK(std::any_of(row.options.begin(), row.options.end(),
                        [](const std::string& option) { return option.rfind("--training.rows_every=", 0) == 0; }));
    }
  }
  CHECK(sheets == 1);  // FULLER's Figure 3
}

TEST_CASE("a table of single cameras or beams asks for more than whole sensors", "[bevfusion][experiments]") {
  const auto with_column = [](const std::string& key) {
    return parse_experiment_sheet(least + "[[column]]\nkey = \"" + key + "\"\nlabel = \"l\"\n", "sheet").wants_single_sensors();
  };
  CHECK(!with_column("NDS"));
  CHECK(!with_column("without camera/mIoU"));
  CHECK(!with_column("without lidar/mAP"));
  CHECK(with_column("without CAM_FRONT/mAP"));
  CHECK(with_column("without 28 of 32 beams/mAP"));
}

// Eq. 9 of FULLER, on the paper's own mAP, NDS and mIoU against its single-task networks, is what its Delta_MTL columns say, to
// their rounding; so no figure was copied wrongly. Two of the printed values are not (its Table 2 has others for one row, and the
// supplement's Table 3 sums one row undivided), and the sheets hold what is printed.
TEST_CASE("the papers' figures of the sheets agree with each other", "[bevfusion][experiments]") {
  const std::map<std::string, double> single = {{"mAP", 62.1}, {"NDS", 66.6}, {"mIoU", 62.3}};
  std::size_t compared = 0;
  std::set<std::string> others;
  for (const ExperimentSheet& sheet : all_sheets()) {
    for (const ExperimentRow& row : sheet.rows) {
      if (row.paper.count("delta_mtl") == 0 || row.paper.count("foreground_mIoU") > 0 || row.paper.count("mAP") == 0) {
        continue;
      }
      double sum = 0;
      for (const auto& [key, best] : single) {
        sum += 100 * (best - row.paper.at(key)) / best;
      }
      ++compared;
      if (std::abs(sum / 2 - row.paper.at("delta_mtl")) > 0.11) {
        others.insert(sheet.name + " " + row.key);
      }
    }
  }
  CHECK(compared >= 30);
  CHECK(others == std::set<std::string>{"fuller_supplement_table_3 baseline_10", "fuller_table_2 intra_balance"});
}

TEST_CASE("a sheet that is wrong is refused with place and way out", "[bevfusion][experiments]") {
  CHECK(refusal(least).empty());
  CHECK(refusal(least + "colour = \"red\"\n").find("there is no key 'colour'") != std::string::npos);
  CHECK(refusal(least + "[[row]]\nkey = \"a\"\nlable = \"A\"\n").find("did you mean label?") != std::string::npos);
  CHECK(refusal(least + "[[row]]\nkey = \"a\"\nlabel = \"A\"\n").find("neither a config nor needs") != std::string::npos);
  const std::string row = "[[row]]\nkey = \"a\"\nlabel = \"A\"\nconfig = \"tiny.toml\"\n";
  CHECK(refusal(least + row).empty());
  CHECK(refusal(least + row + row).find("two rows 'a'") != std::string::npos);
  CHECK(refusal(least + row + "paper = { mAPP = 1 }\n").find("did you mean mAP?") != std::string::npos);
  CHECK(refusal(least + row + "baseline = \"b\"\n").find("no row") != std::string::npos);
  CHECK(refusal(least + row + "options = [1]\n").find("sheet:13") != std::string::npos);
  const std::string taught = "[[row]]\nkey = \"b\"\nlabel = \"B\"\nconfig = \"tiny.toml\"\nteachers = { detection = ";
  CHECK(refusal(least + row + taught + "\"a\" }\n").empty());
  CHECK(refusal(least + row + taught + "\"b\" }\n").find("'b', which is no row before b") != std::string::npos);
  CHECK(refusal(least + taught + "\"a\" }\n" + row).find("'a', which is no row before b") != std::string::npos);
  CHECK(refusal(least + row + taught + "1 }\n").find("is no text") != std::string::npos);
  CHECK(refusal(least + "[[plot]]\nkind = \"gate\"\n").find("did you mean gates?") != std::string::npos);
  CHECK(refusal("seeds = { tiny = 0 }\n" + least).find("one at least") != std::string::npos);
  CHECK(refusal("paper = \"P\"\n").find("place is missing") != std::string::npos);
  CHECK(refusal("paper = \n").find("sheet:1:") == 0);
}

TEST_CASE("a run's name knows what it learns from, and nothing else", "[bevfusion][experiments]") {
  const ConfigFields defaults = {{"size", "tiny"}, {"training.epochs", "12"}, {"training.seed", "0"}};
  ConfigFields config = {{"size", "tiny"},
                         {"model.parts.lidar", "true"},
                         {"model.parts.camera", "true"},
                         {"model.parts.detection", "true"},
                         {"calibration.rule", "none"},
                         {"calibration.gate", "none"},
                         {"training.epochs", "12"},
                         {"training.seed", "0"},
                         {"data.root", "/a"}};
  const std::string name = run_name(config, defaults, "town");
  CHECK(name.rfind("tiny-det-none-none-", 0) == 0);
  ConfigFields other = config;
  other[7].second = "5";
  other[8].second = "/b";
  CHECK(run_name(other, defaults, "town") == name);
  CHECK(run_name(config, defaults, "village") != name);
  other[6].second = "13";
  CHECK(run_name(other, defaults, "town") != name);
  // A later version's field, at its default.
  ConfigFields later = config;
  later.emplace_back("training.ema", "0");
  ConfigFields later_defaults = defaults;
  later_defaults.emplace_back("training.ema", "0");
  CHECK(run_name(later, later_defaults, "town") == name);
  CHECK(different_fields(config, other) == std::vector<std::string>{"training.epochs", "training.seed"});
}

}  // namespace
