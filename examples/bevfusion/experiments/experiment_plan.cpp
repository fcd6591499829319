// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/experiments/experiment_plan.hpp"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "bevfusion/experiments/known_runs.hpp"
#include "bevfusion/experiments/planned_data.hpp"
#include "bevfusion/experiments/run_cost.hpp"
#include "bevfusion/experiments/run_key.hpp"
#include "bevfusion/report/run_details.hpp"
#include "support/nearest.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

std::string joined(const Words& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

std::string content_of(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

/// The experiments that were named, each once.
void read_sheets(ExperimentPlan& plan) {
  const Words known = experiment_names(plan.options.configs);
  Words seen;
  for (const std::string& name : plan.options.names) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      throw std::invalid_argument("there is no experiment '" + name + "'" + example::did_you_mean(name, known) +
                                  "; 'bevfusion experiment --list' shows all");
    }
    if (std::find(seen.begin(), seen.end(), name) != seen.end()) {
      continue;
    }
    seen.push_back(name);
    const fs::path file = plan.options.configs / "experiments" / (name + ".toml");
    const ExperimentSheet sheet = read_experiment_sheet(file);
    if (!sheet.can_run()) {
      const std::string why = !sheet.cannot.empty() ? sheet.cannot : !sheet.needs.empty() ? "it needs " + sheet.needs : "";
      throw std::invalid_argument(name + " (" + sheet.paper + ", " + sheet.place +
                                  ") cannot be run: " + (why.empty() ? "each of its rows needs a part that is not there" : why));
    }
    plan.sheets.push_back(sheet);
    plan.sheet_texts.push_back(content_of(file));
  }
}

void check_rows(const ExperimentPlan& plan) {
  Words known;
  for (const ExperimentSheet& sheet : plan.sheets) {
    std::transform(sheet.rows.begin(), sheet.rows.end(), std::back_inserter(known),
                   [](const ExperimentRow& row) { return row.key; });
  }
  for (const std::string& key : plan.options.rows) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      throw std::invalid_argument("--rows: there is no row '" + key + "'" + example::did_you_mean(key, known) + "; there are " +
                                  joined(known));
    }
    for (const ExperimentSheet& sheet : plan.sheets) {
      const ExperimentRow* row = sheet.row(key);
      if (row != nullptr && !row->needs.empty()) {
        throw std::invalid_argument("--rows: " + key + " of " + sheet.name + " cannot be run: it needs " + row->needs);
      }
    }
  }
}

bool is_asked_for(const ExperimentOptions& options, const ExperimentSheet& sheet, const ExperimentRow& row) {
  if (!row.needs.empty()) {
    return false;
  }
  const auto taught_by_row = [&](const ExperimentRow& other) {
    return std::any_of(other.teachers.begin(), other.teachers.end(), [&](const auto& one) { return one.second == row.key; }) &&
           is_asked_for(options, sheet, other);
  };
  if (std::any_of(sheet.rows.begin(), sheet.rows.end(), taught_by_row)) {
    return true;
  }
  if (!options.rows.empty()) {
    return std::find(options.rows.begin(), options.rows.end(), row.key) != options.rows.end();
  }
  const bool has_quick = std::any_of(sheet.rows.begin(), sheet.rows.end(), [](const ExperimentRow& one) { return one.quick; });
  return !options.quick || !has_quick || row.quick;
}

int seeds_of(const ExperimentOptions& options, const ExperimentSheet& sheet) {
  if (options.seeds > 0) {
    return options.seeds;
  }
  const auto found = sheet.seeds.find(options.size);
  return options.quick || found == sheet.seeds.end() ? 1 : found->second;
}

/// Options of `--name=value`; one that is given again replaces the earlier.
void add_option(Words& words, const std::string& option) {
  const std::string name = option.substr(0, option.find('='));
  words.erase(
      std::remove_if(words.begin(), words.end(), [&](const std::string& word) { return word.substr(0, word.find('=')) == name; }),
      words.end());
  words.push_back(option);
}

/// Of the tiny network in the quick plan: building the program and six such runs are a quarter of an hour on two cores.
constexpr int quick_epochs = 5;

/// What `train` is told of a row, without seed, data set and folder.
Words row_words(const ExperimentOptions& options, const ExperimentRow& row) {
  Words chosen;
  if (options.size == "tiny") {
    chosen.emplace_back("--training.evaluate_every=3");  // some points of the course; each epoch's would take long
  }
  for (const std::string& option : row.options) {
    add_option(chosen, option);
  }
  const auto of_size = row.size_options.find(options.size);
  if (of_size != row.size_options.end()) {
    for (const std::string& option : of_size->second) {
      add_option(chosen, option);
    }
  }
  if (options.epochs > 0) {
    add_option(chosen, "--epochs=" + std::to_string(options.epochs));
  } else if (options.quick && options.size == "tiny") {
    add_option(chosen, "--epochs=" + std::to_string(quick_epochs));
  }
  Words words = {"--config", (options.configs / row.config).string(), "--size=" + options.size};
  words.insert(words.end(), chosen.begin(), chosen.end());
  words.push_back("--device=" + options.device);
  return words;
}

/// Scenes on the experiment's page.
constexpr int pictures = 4;

ConfigFields printed(const ExperimentOptions& options, const Words& words, const std::string& called) {
  std::istringstream in(options.print_config(words));
  return config_fields_of(in, called);
}

/// The runs of a sheet's rows, by the row's key: their names without the seed.
using RowNames = std::map<std::string, std::string>;

/// A row's words with its teachers.
/// @param where  what stands for the run of a name
template <class Where>
Words with_teachers(Words words, const ExperimentRow& row, const RowNames& names, const Where& where) {
  for (const auto& [task, teacher] : row.teachers) {
    words.push_back("--teacher=" + task + "=" + where(names.at(teacher)));
  }
  return words;
}

ExperimentRun run_of(const ExperimentPlan& plan, const ExperimentRow& row, const Words& words, std::uint64_t seed,
                     const fs::path& folder, const std::string& missing) {
  const ExperimentOptions& options = plan.options;
  ExperimentRun run;
  run.row = row.key;
  run.seed = seed;
  run.folder = folder;
  run.train_command = {options.called, "train"};
  run.train_command.insert(run.train_command.end(), words.begin(), words.end());
  for (const std::string& word :
       {"--seed=" + std::to_string(seed), "--data=" + plan.data.root.string(), "--version=" + plan.data.version,
        std::string("--data.threads=1"), std::string("--out"), folder.string(), std::string("--resume")}) {
    run.train_command.push_back(word);
  }
  run.eval_command = {options.called,          "eval",     "--run",        folder.string(), "--data",
                      plan.data.root.string(), "--device", options.device, "--threads",     "1"};
  if (!plan.data.evaluation_split.empty()) {
    run.eval_command.emplace_back("--split");
    run.eval_command.push_back(plan.data.evaluation_split);
  }
  if (seed == 0) {  // the seed that every plan has: the page shows the same scenes as each row's run sees them
    run.predict_command = run.eval_command;
    run.predict_command[1] = "predict";
    for (const std::string& word :
         {std::string("--out"), (folder / "predictions").string(), std::string("--pictures"), std::to_string(pictures)}) {
      run.predict_command.push_back(word);
    }
    if (!row.teachers.empty()) {
      run.predict_command.emplace_back("--teachers");
    }
  }
  if (!missing.empty()) {
    run.eval_command.push_back(missing);
  }
  add_state(run);
  return run;
}

/// A folder of that name that was filled by hand, or by a version whose defaults meant something else.
void expect_same_settings(const PlannedRun& planned) {
  const fs::path file = planned.run.folder / "config.toml";
  if (!fs::exists(file)) {
    return;
  }
  const Words other = different_fields(planned.config, config_fields_in(file));
  if (!other.empty()) {
    throw std::invalid_argument(planned.run.folder.string() + " holds a run with other values of " + joined(other) +
                                "; move it away, or choose another --out");
  }
}

/// Plans a row's runs, or joins those that are planned already.
void plan_row(ExperimentPlan& plan, std::size_t sheet, const ExperimentRow& row, const ConfigFields& defaults, RowNames& names) {
  const ExperimentOptions& options = plan.options;
  const Words words = row_words(options, row);
  const std::string called = plan.sheets[sheet].name + ", row " + row.key;
  ConfigFields config;
  try {
    config = printed(options, with_teachers(words, row, names, [](const std::string& name) { return name; }), called);
  } catch (const std::exception& error) {
    throw std::invalid_argument(called + ": " + error.what());
  }
  const std::string name = run_name(config, defaults, plan.data.key);
  names[row.key] = name;
  const bool two = value_of(config, "model.parts.lidar") == "true" && value_of(config, "model.parts.camera") == "true";
  const bool single = two && plan.sheets[sheet].wants_single_sensors();
  const std::string missing = single ? single_sensors_missing : two ? "--missing" : "";
  for (int s = 0; s < seeds_of(options, plan.sheets[sheet]); ++s) {
    const auto seed = static_cast<std::uint64_t>(s);
    const fs::path folder = options.out / "runs" / (name + "-s" + std::to_string(s));
    const auto same =
        std::find_if(plan.runs.begin(), plan.runs.end(), [&](const PlannedRun& one) { return one.run.folder == folder; });
    if (same != plan.runs.end()) {
      same->asked_by.push_back({sheet, row.key});
      if (single) {
        same->run.eval_command.back() = missing;
        add_state(same->run);
      }
      continue;
    }
    PlannedRun planned;
    planned.config = config;
    for (auto& [field, value] : planned.config) {
      if (field == "training.seed") {
        value = std::to_string(s);
      }
    }
    const Words taught = with_teachers(words, row, names, [&](const std::string& teacher) {
      planned.teachers.push_back(options.out / "runs" / (teacher + "-s" + std::to_string(s)));
      return planned.teachers.back().string();
    });
    planned.run = run_of(plan, row, taught, seed, folder, missing);
    planned.short_name = row.key + ", seed " + std::to_string(s);
    planned.asked_by.push_back({sheet, row.key});
    expect_same_settings(planned);
    plan.runs.push_back(std::move(planned));
  }
}

/// Runs that files of results know need not be done; but a teacher has to be there for what it teaches.
void take_known(ExperimentPlan& plan) {
  const KnownRuns known(plan.options.known);
  std::set<fs::path> needed;
  for (auto planned = plan.runs.rbegin(); planned != plan.runs.rend(); ++planned) {
    if (needed.count(planned->run.folder) == 0) {
      known.complete(planned->run);
    }
    if (planned->run.state != RunState::done) {
      needed.insert(planned->teachers.begin(), planned->teachers.end());
    }
  }
}

/// Whether the sheets' synthetic scenes are a driver's, which those of one plan are or are not together: they share data.
/// @throws std::invalid_argument where some are and some are not
bool wants_driving(const std::vector<ExperimentSheet>& sheets) {
  for (const ExperimentSheet& sheet : sheets) {
    if (sheet.driving != sheets.front().driving) {
      throw std::invalid_argument("the experiments " + sheets.front().name + " and " + sheet.name +
                                  " are run on scenes of different kinds (driving); run one after the other");
    }
  }
  return !sheets.empty() && sheets.front().driving;
}

}  // namespace

double ExperimentPlan::seconds_left() const {
  double sum = 0;
  double longest = 0;
  for (const PlannedRun& run : runs) {
    sum += run.seconds;
    longest = std::max(longest, run.seconds);
  }
  return data.seconds / std::max(1U, std::thread::hardware_concurrency()) + std::max(sum / jobs, longest);
}

const PlannedRun* ExperimentPlan::run_of(std::size_t sheet, const std::string& row, std::uint64_t seed) const {
  const auto found = std::find_if(runs.begin(), runs.end(), [&](const PlannedRun& one) {
    return one.run.seed == seed && std::any_of(one.asked_by.begin(), one.asked_by.end(),
                                               [&](const AskedBy& by) { return by.sheet == sheet && by.row == row; });
  });
  return found == runs.end() ? nullptr : &*found;
}

ExperimentPlan plan_experiments(const ExperimentOptions& options) {
  ExperimentPlan plan;
  plan.options = options;
  const Words sizes = {"tiny", "small", "full"};
  if (std::find(sizes.begin(), sizes.end(), options.size) == sizes.end()) {
    throw std::invalid_argument("--size is tiny, small or full, not '" + options.size + "'" +
                                example::did_you_mean(options.size, sizes));
  }
  read_sheets(plan);
  check_rows(plan);
  plan.data = plan_data(options, wants_driving(plan.sheets));
  const bool on_gpu = options.device != "cpu";
  plan.jobs = options.jobs > 0 ? options.jobs : on_gpu ? 1 : static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
  const ConfigFields defaults = printed(options, {"--size=" + options.size}, "defaults of " + options.size);
  for (std::size_t s = 0; s < plan.sheets.size(); ++s) {
    const std::vector<ExperimentRow> rows = plan.sheets[s].rows;
    RowNames names;
    for (const ExperimentRow& row : rows) {
      if (is_asked_for(options, plan.sheets[s], row)) {
        plan_row(plan, s, row, defaults, names);
      }
    }
  }
  take_known(plan);
  // Seed by seed: whenever it is stopped, all rows have as many runs as there was time for.
  std::stable_sort(plan.runs.begin(), plan.runs.end(),
                   [](const PlannedRun& a, const PlannedRun& b) { return a.run.seed < b.run.seed; });
  add_costs(plan);
  return plan;
}

}  // namespace bevfusion
