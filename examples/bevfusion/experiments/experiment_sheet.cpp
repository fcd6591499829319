// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/experiment_sheet.hpp"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <tuple>
#include <utility>

#include "bevfusion/experiments/sheet_reader.hpp"
#include "support/nearest.hpp"

namespace bevfusion {
namespace {

constexpr std::array<const char*, 10> plot_kinds = {"gamma_task",    "gradient_rows", "branch_norms", "convergence",
                                                    "losses",        "weights",       "gates",        "missing_camera",
                                                    "missing_lidar", "training_loss"};

template <class Item>
std::vector<std::string> keys_of(const std::vector<Item>& items) {
  std::vector<std::string> keys;
  std::transform(items.begin(), items.end(), std::back_inserter(keys), [](const Item& item) { return item.key; });
  return keys;
}

template <class Item>
const Item* with_key(const std::vector<Item>& items, const std::string& key) {
  const auto found = std::find_if(items.begin(), items.end(), [&](const Item& item) { return item.key == key; });
  return found == items.end() ? nullptr : &*found;
}

FigureColumn column_in(const toml::table& table, const std::string& file) {
  FigureColumn column;
  SheetReader reader(table, file);
  std::string better = "high";
  reader.take("key", column.key);
  reader.take("label", column.label);
  reader.take("better", better);
  reader.take("scale", column.scale);
  reader.take("decimals", column.decimals);
  reader.expect_no_other();
  reader.require("key", column.key);
  reader.require("label", column.label);
  if (better != "high" && better != "low") {
    reader.refuse("better is high or low, not '" + better + "'", "better");
  }
  column.lower_is_better = better == "low";
  return column;
}

ExperimentRow row_in(const toml::table& table, const std::string& file, const ExperimentSheet& sheet) {
  ExperimentRow row;
  SheetReader reader(table, file);
  reader.take("key", row.key);
  reader.take("block", row.block);
  reader.take("label", row.label);
  reader.take("config", row.config);
  reader.take("options", row.options);
  reader.take("size_options", row.size_options);
  reader.take("baseline", row.baseline);
  reader.take("single", row.single);
  reader.take("teachers", row.teachers);
  reader.take("needs", row.needs);
  reader.take("quick", row.quick);
  reader.take("paper", row.paper);
  reader.expect_no_other();
  reader.require("key", row.key);
  reader.require("label", row.label);
  if (row.config.empty() && row.needs.empty() && sheet.needs.empty() && sheet.cannot.empty()) {
    reader.refuse("row " + row.key + " has neither a config nor needs, which says why it cannot be run");
  }
  for (const auto& [key, value] : row.paper) {
    if (sheet.column(key) == nullptr) {
      reader.refuse(
          "paper has a figure of '" + key + "', which is no column" + example::did_you_mean(key, keys_of(sheet.columns)),
          "paper");
    }
  }
  for (const auto& [task, teacher] : row.teachers) {
    const ExperimentRow* before = sheet.row(teacher);
    if (before == nullptr || !before->needs.empty()) {
      reader.refuse("the teacher of " + task + " is '" + teacher + "', which is no row before " + row.key + " that can be run" +
                        example::did_you_mean(teacher, keys_of(sheet.rows)),
                    "teachers");
    }
  }
  if (sheet.row(row.key) != nullptr) {
    reader.refuse("there are two rows '" + row.key + "'", "key");
  }
  return row;
}

PaperPlot plot_in(const toml::table& table, const std::string& file) {
  PaperPlot plot;
  SheetReader reader(table, file);
  reader.take("kind", plot.kind);
  reader.take("place", plot.place);
  reader.take("text", plot.text);
  reader.expect_no_other();
  const std::vector<std::string> kinds(plot_kinds.begin(), plot_kinds.end());
  if (std::find(kinds.begin(), kinds.end(), plot.kind) == kinds.end()) {
    reader.refuse("there is no plot '" + plot.kind + "'" + example::did_you_mean(plot.kind, kinds), "kind");
  }
  return plot;
}

void check_references(const ExperimentSheet& sheet, const SheetReader& reader) {
  const auto expect_row = [&](const std::string& key, const std::string& what) {
    if (!key.empty() && sheet.row(key) == nullptr) {
      reader.refuse(what + " is '" + key + "', which is no row" + example::did_you_mean(key, keys_of(sheet.rows)));
    }
  };
  expect_row(sheet.lambda_baseline, "lambda_baseline");
  for (const ExperimentRow& row : sheet.rows) {
    expect_row(row.baseline, "the baseline of " + row.key);
  }
}

ExperimentSheet parse(const std::string& text, const std::string& file, const std::string& name) {
  const toml::table table = [&] {
    try {
      return toml::parse(text);
    } catch (const toml::parse_error& error) {
      const toml::source_position at = error.source().begin;
      throw std::invalid_argument(file + ":" + std::to_string(at.line) + ":" + std::to_string(at.column) + ": " +
                                  std::string(error.description()));
    }
  }();
  ExperimentSheet sheet;
  sheet.name = name;
  SheetReader reader(table, file);
  reader.take("paper", sheet.paper);
  reader.take("place", sheet.place);
  reader.take("title", sheet.title);
  reader.take("shows", sheet.shows);
  reader.take("expected", sheet.expected);
  reader.take("needs", sheet.needs);
  reader.take("cannot", sheet.cannot);
  reader.take("driving", sheet.driving);
  reader.take("delta_divisor", sheet.delta_divisor);
  reader.take("lambda_divisor", sheet.lambda_divisor);
  reader.take("lambda_baseline", sheet.lambda_baseline);
  reader.take("seeds", sheet.seeds);
  for (const toml::table* column : reader.tables("column")) {
    sheet.columns.push_back(column_in(*column, file));
  }
  for (const toml::table* row : reader.tables("row")) {
    sheet.rows.push_back(row_in(*row, file, sheet));
  }
  for (const toml::table* plot : reader.tables("plot")) {
    sheet.plots.push_back(plot_in(*plot, file));
  }
  reader.expect_no_other();
  for (const auto& [key, value] : {std::pair("paper", &sheet.paper),
                                   {"place", &sheet.place},
                                   {"title", &sheet.title},
                                   {"shows", &sheet.shows},
                                   {"expected", &sheet.expected}}) {
    reader.require(key, *value);
  }
  for (const auto& [size, count] : sheet.seeds) {
    if (count < 1) {
      reader.refuse("seeds of " + size + " are " + std::to_string(count) + "; one at least is needed", "seeds");
    }
  }
  check_references(sheet, reader);
  return sheet;
}

/// Where an experiment stands in the list: by paper, main text before supplement, tables before figures, number, name; what no
/// paper has comes last.
std::tuple<int, int, int, std::string> rank(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  const int number = std::atoi(name.substr(name.rfind('_') + 1).c_str());
  return {has("own_")           ? 4
          : has("dmfuser")      ? 3
          : has("wpcgrad_")     ? 2
          : has("_supplement_") ? 1
                                : 0,
          has("figure") ? 1 : 0, number, name};
}

}  // namespace

const ExperimentRow* ExperimentSheet::row(const std::string& key) const { return with_key(rows, key); }

const FigureColumn* ExperimentSheet::column(const std::string& key) const { return with_key(columns, key); }

bool ExperimentSheet::can_run() const {
  return needs.empty() && cannot.empty() &&
         std::any_of(rows.begin(), rows.end(), [](const ExperimentRow& row) { return row.needs.empty(); });
}

bool ExperimentSheet::wants_single_sensors() const {
  const std::string without = "without ";
  return std::any_of(columns.begin(), columns.end(), [&](const FigureColumn& column) {
    const std::string sensor = column.key.substr(0, column.key.find('/'));
    return sensor.rfind(without, 0) == 0 && sensor != without + "camera" && sensor != without + "lidar";
  });
}

ExperimentSheet read_experiment_sheet(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  if (!in || std::filesystem::is_directory(file) || !(text << in.rdbuf())) {
    throw std::invalid_argument("cannot read the experiment " + file.string());
  }
  return parse(text.str(), file.string(), file.stem().string());
}

ExperimentSheet parse_experiment_sheet(const std::string& text, const std::string& name) { return parse(text, name, name); }

std::vector<std::string> experiment_names(const std::filesystem::path& configs) {
  const std::filesystem::path folder = configs / "experiments";
  if (!std::filesystem::is_directory(folder)) {
    throw std::invalid_argument(folder.string() + " is not there; --configs DIR names the folder that has experiments/ in it");
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".toml") {
      names.push_back(entry.path().stem().string());
    }
  }
  std::sort(names.begin(), names.end(), [](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
  return names;
}

}  // namespace bevfusion
