// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/commands/experiment_command.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "bevfusion/experiments/experiment_plan.hpp"
#include "bevfusion/experiments/experiment_results.hpp"
#include "bevfusion/experiments/experiment_runner.hpp"
#include "bevfusion/experiments/known_runs.hpp"
#include "bevfusion/experiments/quoted_results.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/report/experiment_report.hpp"
#include "bevfusion/training/split_samples.hpp"
#include "support/number_range.hpp"

namespace bevfusion {
namespace {

namespace fs = std::filesystem;

struct ExperimentArguments {
  ExperimentOptions options;
  std::string configs = BEVFUSION_CONFIGS;
  std::string out = "experiments";
  bool list = false;
  bool plan = false;
  bool quote = false;
  bool check = false;
};

/// From here, where it lies here; so that a command that is kept can be typed elsewhere.
fs::path as_seen_from_here(const fs::path& path) {
  const fs::path near = path.lexically_proximate(fs::current_path());
  return near.empty() || *near.begin() == ".." ? path : near;
}

void quote(bool check) {
  const std::vector<fs::path> files = quote_results(fs::current_path(), check);
  std::string names;
  for (const fs::path& file : files) {
    names += "\n  " + as_seen_from_here(file).string();
  }
  if (check && !files.empty()) {
    throw std::runtime_error(
        "what is quoted from docs/results is not what stands there; 'bevfusion experiment --quote' writes anew" + names);
  }
  std::printf("%s%s\n", files.empty() ? "all that is quoted is as docs/results has it" : "written anew:", names.c_str());
}

/// The experiment's table, its results and its report.
void tell(const fs::path& folder, const KnownRuns& known) {
  FinishedExperiment experiment = read_experiment(folder);
  known.complete(experiment);
  write_results(folder, experiment);
  std::printf("\n%s, %s: %s\n\n%s\n", experiment.sheet.paper.c_str(), experiment.sheet.place.c_str(),
              experiment.sheet.title.c_str(), results_text(experiment).c_str());
  const auto elsewhere = std::count_if(experiment.runs.begin(), experiment.runs.end(),
                                       [](const ExperimentRun& run) { return !run.known_from.empty(); });
  if (elsewhere > 0) {
    std::printf("%d of %zu runs are known from --known alone: the page has their figures, and no curves or pictures of them.\n",
                static_cast<int>(elsewhere), experiment.runs.size());
  }
  for (const std::string& sentence : write_experiment_report(folder, experiment)) {
    std::printf("%s\n", sentence.c_str());
  }
  std::printf("page: %s\nresults: %s\n", (folder / "index.html").c_str(), (folder / "results.json").c_str());
}

/// Ends as a program that the signal ended, for the shell to see.
[[noreturn]] void end_by(int signal, const ExperimentOptions& options) {
  std::printf("\nstopped; what was done is kept, and the same command goes on:\n  %s\n", shell_text(options.repeat).c_str());
  std::fflush(stdout);
  std::signal(signal, SIG_DFL);
  std::raise(signal);
  std::_Exit(1);
}

void run(ExperimentOptions options, bool plan_alone) {
  if (options.names.empty()) {
    throw std::invalid_argument("experiment needs a name; 'bevfusion experiment --list' shows all");
  }
  ExperimentPlan plan = plan_experiments(options);
  std::printf("%s", text_of(plan).c_str());
  std::fflush(stdout);
  if (plan_alone) {
    return;
  }
  fs::create_directories(options.out);
  write_experiments(plan);
  std::printf("\n");
  std::fflush(stdout);
  const ExperimentOutcome outcome = run_experiments(plan);
  if (outcome.signal != 0) {
    end_by(outcome.signal, options);
  }
  const KnownRuns known(options.known);
  for (const fs::path& folder : write_experiments(plan)) {
    tell(folder, known);
  }
  if (!outcome.failed.empty()) {
    std::string text = std::to_string(outcome.failed.size()) + " of " + std::to_string(plan.runs.size()) + " runs failed";
    for (const auto& [name, why] : outcome.failed) {
      text += "\n\n" + name + ": " + why;
    }
    throw std::runtime_error(text + "\n\nthe same command tries them again, and nothing else");
  }
}

double samples_of(const std::string& root, const std::string& version, const std::string& split) {
  return static_cast<double>(samples_of_split(read_tables(root, version), split).rows.size());
}

/// What was asked for, as a command.
std::vector<std::string> typed(const CLI::App& command, const ExperimentOptions& options) {
  std::vector<std::string> words = {options.called, "experiment"};
  words.insert(words.end(), options.names.begin(), options.names.end());
  for (const CLI::Option* option : command.get_options()) {
    if (option->count() == 0 || option->get_positional() || option->get_lnames().empty() ||
        option->get_lnames().front() == "plan") {
      continue;
    }
    words.push_back("--" + option->get_lnames().front());
    if (option->get_items_expected_max() > 0) {
      const std::vector<std::string>& values = option->results();
      words.insert(words.end(), values.begin(), values.end());
    }
  }
  return words;
}

void experiment(const CLI::App& command, const ExperimentArguments& arguments) {
  ExperimentOptions options = arguments.options;
  options.configs = as_seen_from_here(fs::absolute(arguments.configs).lexically_normal());
  options.out = arguments.out;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  options.program = program.string();
  options.called = as_seen_from_here(program).string();
  options.repeat = typed(command, options);
  options.count_samples = samples_of;
  if (arguments.list) {
    std::printf("%s", experiment_list(options.configs).c_str());
  } else if (arguments.quote) {
    quote(arguments.check);
  } else if (!options.print_config) {
    throw std::invalid_argument("this program was built without LibTorch and trains nothing; --list shows the experiments");
  } else {
    run(options, arguments.plan);
  }
}

}  // namespace

void add_experiment_command(CLI::App& app, const TrainingProgram& program) {
  CLI::App* command = app.add_subcommand(
      "experiment",
      "Run experiments of the papers, tables and figures by name: plan, synthetic scenes, training and evaluation of all runs "
      "side\n"
      "by side, a table, a page and results.json in OUT/NAME. What is there already is not done again; stopped in whatever way,\n"
      "the same command goes on. Runs that several experiments ask for are trained once.");
  const auto arguments = std::make_shared<ExperimentArguments>();
  ExperimentOptions& options = arguments->options;
  options.libtorch = program.libtorch;
  options.print_config = program.print_config;
  command->add_option("names", options.names, "Experiments, as --list has them")->type_name("NAME");
  command->add_flag("--list", arguments->list, "Show all experiments of the papers, and end");
  command->add_flag("--plan", arguments->plan, "Show what would run, what is there and what it costs, and end");
  command->add_flag("--quick", options.quick,
                    "The main rows with one seed, fewer epochs and fewer samples to evaluate on: a first look");
  command->add_option("--out", arguments->out, "Folder of data sets, runs and experiments; made where it is not there")
      ->capture_default_str()
      ->type_name("DIR");
  command->add_option("--size", options.size, "Size of the networks: tiny, small or full")->capture_default_str();
  command->add_option("--device", options.device, "cpu, cuda, or cuda: with a number")->capture_default_str();
  command->add_option("--seeds", options.seeds, "Seeds of each row; as many as the experiment has for the size unless given")
      ->check(example::number_within<int>(1, 1000))
      ->type_name("N");
  command->add_option("--rows", options.rows, "These rows alone, by their keys in the plan")->delimiter(',')->type_name("KEY");
  command->add_option("--epochs", options.epochs, "Epochs of each run; as its config (and --quick) has them unless given")
      ->check(example::number_within<int>(1))
      ->type_name("N");
  command
      ->add_option("--known", options.known,
                   "Files of results, such as docs/results/NAME.json: their runs need not be done again, and count")
      ->delimiter(',')
      ->type_name("FILE");
  command->add_option("--jobs", options.jobs, "Runs at once; one a core unless given, on a GPU one")
      ->check(example::number_within<int>(1))
      ->type_name("N");
  CLI::Option* const data =
      command->add_option("--data", options.data, "A data set in nuScenes' format; synthetic scenes are written unless given")
          ->type_name("DIR");
  command->add_option("--version", options.version, "Folder of its tables: v1.0-mini, v1.0-trainval")
      ->needs(data)
      ->type_name("NAME");
  command->add_option("--configs", arguments->configs, "Folder of config files, with experiments/ in it")
      ->capture_default_str()
      ->type_name("DIR");
  CLI::Option* const quoted = command->add_flag(
      "--quote", arguments->quote,
      "Bring what README and docs quote from docs/results up to date, in the repository that this is called in");
  command->add_flag("--check", arguments->check, "With --quote: only look whether it is")->needs(quoted);
  command->callback([command, arguments] { experiment(*command, *arguments); });
}

}  // namespace bevfusion
