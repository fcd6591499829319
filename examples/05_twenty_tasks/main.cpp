// SPDX-License-Identifier: Apache-2.0
// Twenty tasks: each of ten garments against the rest, in pictures and in their mirror images; or the twenty superclasses of
// CIFAR-100. Projection with and without priorities, against the plain sum.
#include <chrono>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "../support/command_line.hpp"
#include "../support/page.hpp"
#include "training.hpp"

namespace {

using namespace example;

/// A rule under comparison. All are measured at the same place, all shared parameters, so that their conflicts compare.
struct Rule {
  const char* title;
  int measure_every;  ///< 0: the rule needs the gradients in each step anyway
  std::function<fuller::Calibration(const std::vector<std::string>&, const fuller::CalibrationOptions&)> make;
};

std::vector<Rule> rules() {
  using Names = std::vector<std::string>;
  using Options = fuller::CalibrationOptions;
  fuller::DTPOptions by_loss;
  by_loss.gamma = 1;  // the paper's exponent for twenty tasks
  return {
      {"the plain sum", 8, [](const Names& tasks, const Options& o) { return fuller::Calibration(fuller::Uniform(), tasks, o); }},
      {"PCGrad", 0, [](const Names& tasks, const Options& o) { return fuller::Calibration(fuller::PCGrad(), tasks, o); }},
      {"wPCGrad + DTP", 0, [by_loss](const Names& tasks, const Options& o) {
         return fuller::Calibration(fuller::WPCGrad<fuller::DTP>(fuller::DTP(by_loss)), tasks, o);
       }}};
}

struct Settings {
  std::string data = debian_garments, out = "reports/twenty_tasks", labels = "all";
  int seeds = 5, jobs = 0;
  std::int64_t samples = 6000, test_samples = 4000;
  Lessons lessons;
};

void read_command_line(CLI::App& app, Settings& settings) {
  const auto word = [&](const char* name, std::string& value, const char* explain, const std::vector<std::string>& known) {
    app.add_option(name, value, explain)->check(CLI::IsMember(known))->type_name("WORD")->capture_default_str();
  };
  add_folder(app, "--data", settings.data,
             "Folder with Fashion-MNIST's four IDX files, .gz or not, or with CIFAR-100's train.bin and test.bin");
  add_folder(app, "--out", settings.out, "Folder for the page; made if missing");
  word("--network", settings.lessons.network, "small, a trunk of two convolutions; or routing, after Rosenbaum et al.",
       {"small", "routing"});
  word("--labels", settings.labels, "Of garments: all, each picture has the label of every task; or one, that of one task",
       {"all", "one"});
  add_number(app, "--channels", settings.lessons.shape.channels, "Of the routing network's convolutions (Rosenbaum et al. 32)", 1,
             4096)
      ->capture_default_str();
  add_number(app, "--units", settings.lessons.shape.units, "Of the routing network's routed layers (Rosenbaum et al. 48)", 1,
             4096)
      ->capture_default_str();
  add_number(app, "--seeds", settings.seeds, "Trainings of each rule; intervals need two", 2, 1000)->capture_default_str();
  add_number(app, "--epochs", settings.lessons.epochs, "Passes over the training pictures", 1, 10000)->capture_default_str();
  add_number(app, "--samples", settings.samples, "Training pictures", 1, 60000)->capture_default_str();
  add_number(app, "--test-samples", settings.test_samples, "Test pictures", 200, 10000)->capture_default_str();
  add_number(app, "--batch", settings.lessons.batch, "Pictures a step", 1, 60000)->capture_default_str();
  add_number(app, "--jobs", settings.jobs, "Trainings beside each other; 0: one for each processor", 0, 1024)
      ->capture_default_str();
  app.footer(
      "With CIFAR-100 the tasks are its superclasses, each over its five classes, and each picture has the label of one task. "
      "What\n"
      "is not given is then the row of wPCGrad's Table 5: the routing network of 32 channels on all pictures for 50 epochs; "
      "hours\n"
      "for each training on a CPU.");
}

void apply_cifar100(const CLI::App& app, Settings& settings) {
  const auto unless_given = [&](const char* option, auto& value, auto other) { value = app.count(option) > 0 ? value : other; };
  unless_given("--network", settings.lessons.network, std::string("routing"));
  unless_given("--channels", settings.lessons.shape.channels, std::int64_t{32});
  unless_given("--epochs", settings.lessons.epochs, 50);
  unless_given("--samples", settings.samples, std::int64_t{50000});
  unless_given("--test-samples", settings.test_samples, std::int64_t{10000});
  settings.labels = "one";
}

/// What the tasks are, in the words of the page.
std::string what(const Settings& settings, const TaskSet& set) {
  const std::string tasks_are =
      set.cifar100
          ? "The twenty superclasses of CIFAR-100 are twenty tasks: which of its five classes does a picture show?"
          : "Ten tasks ask whether a picture shows a garment of one class; ten more ask the same of the picture in a mirror.";
  const std::string network =
      settings.lessons.network == "routing"
          ? " One routing network serves all twenty: layers of function blocks, of which each task learns to choose."
          : " One small trunk serves all twenty.";
  return tasks_are + network +
         (settings.labels == "one"
              ? " A picture has the label of one task, whose loss is the mean over its pictures in the batch."
              : "") +
         " Two tasks are in conflict where their gradients on what they share point against each other.";
}

void write_page(const Settings& settings, const TaskSet& set, const RuleComparison& comparison) {
  Page page("Twenty tasks: conflicts, and what projecting them away does");
  page.paragraph(what(settings, set));
  page.paragraph(comparison.verdict());
  page.table(comparison.table());
  page.paragraph(
      "Accuracy is balanced (guessing gives " + std::to_string(100 / set.test.answers) +
      "). ± is half a 95 % confidence interval over " + std::to_string(settings.seeds) +
      " seeds (Student's t); 'against' compares seed by seed. Step time is processor time, plain sum = 1; rules that project "
      "need a pass through what is shared for each task.");
  page.figures({svg(comparison.conflicts(settings.lessons.epochs))});
  page.heading("Task by task");
  page.table(comparison.by_task(set.names));
  page.write(settings.out + "/index.html");
}

RuleComparison train_all(const Settings& settings, const TaskSet& set) {
  const double steps = settings.lessons.epochs * static_cast<double>(set.train.size() / settings.lessons.batch);
  return compare_rules(rules(), settings.seeds, settings.jobs, steps, {"accuracy", true},
                       [&](const auto& rule, int seed, const auto& advance) {
                         fuller::CalibrationOptions options;
                         options.surface = fuller::Surface::all_shared;
                         options.measure_every = rule.measure_every;
                         auto calibration = rule.make(set.names, options);
                         return train(calibration, settings.lessons, rule.measure_every, seed, set, advance);
                       });
}

int run(int argc, char** argv) {
  Settings settings;
  CLI::App app(
      "Twenty tasks: each of ten garments against the rest, in pictures and in their mirror images, or CIFAR-100's "
      "superclasses,\n"
      "trained with the losses summed, with PCGrad and with wPCGrad under dynamic task prioritisation. Ends in a table here and "
      "a\n"
      "page in OUT.\n",
      "twenty_tasks");
  read_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  if (holds_cifar100(settings.data)) {
    apply_cifar100(app, settings);
  }
  expect_whole_batch(settings.lessons.batch, settings.samples);
  std::filesystem::create_directories(settings.out);
  const auto begin = std::chrono::steady_clock::now();
  TaskSet set = load_tasks(settings.data, settings.labels == "one");
  set.train = set.train.first(settings.samples);
  set.test = set.test.first(settings.test_samples);
  expect_whole_batch(settings.lessons.batch, set.train.size());
  NetworkShape& shape = settings.lessons.shape;
  shape.planes = set.train.images.size(1);
  shape.side = set.train.images.size(2);
  shape.outputs = set.train.answers == 2 ? 1 : set.train.answers;
  const auto comparison = train_all(settings, set);
  write_page(settings, set, comparison);
  tell("Balanced test accuracy of twenty tasks, ± half a 95 % confidence interval over " + std::to_string(settings.seeds) +
           " seeds",
       comparison, settings.out, begin);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return example::run_example("twenty_tasks", argc, argv, run); }
