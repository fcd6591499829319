// SPDX-License-Identifier: Apache-2.0
// Two garments at once: one network, two tasks, every calibrator; a table and a page that show what calibration did. With --rules
// all and --results, every rule of the library against the sum tuned by hand, with what its differences are worth.
#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <iostream>
#include <mutex>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "../support/command_line.hpp"
#include "../support/parallel.hpp"
#include "../support/progress.hpp"
#include "../support/text_table.hpp"
#include "choices.hpp"
#include "comparison.hpp"
#include "records.hpp"
#include "report.hpp"
#include "settings.hpp"
#include "training.hpp"

namespace {

using namespace example;

/// Fills `settings`; CLI11 ends the program for --help and for arguments that make no sense.
void read_command_line(CLI::App& app, Settings& settings, const std::vector<Choice>& all, bool& full) {
  std::string keys;
  for (const auto& choice : all) {
    keys += "\n  " + choice.key + ": " + choice.explain;
  }
  for (const auto& choice : choices(settings.loss_scale)) {
    settings.calibrators.push_back(choice.key);
  }
  app.footer("Calibrators:" + keys +
             "\n\nWithout options the first seven run on a third of the data, in about four minutes on two cores. The result is "
             "OUT/index.html.");
  const auto word = [&](const char* name, std::string& value, const char* explain, const std::vector<std::string>& known) {
    app.add_option(name, value, explain)->check(CLI::IsMember(known))->type_name("WORD")->capture_default_str();
  };
  app.add_option("--calibrators,--rules", settings.calibrators,
                 "Which to train with, separated by commas, or 'all'; the first seven unless given")
      ->delimiter(',')
      ->type_name("A,B,...");
  add_garments_folder(app, settings.data);
  add_folder(app, "--out", settings.out, "Folder for the page and its numbers; made if missing");
  app.add_option(
         "--results", settings.results,
         "JSON file for a comparison in place of the page: what it holds is not trained again, so the same command goes on "
         "after a stop; ends in a table against the sum tuned by hand")
      ->type_name("FILE");
  app.add_option("--loss-scale", settings.loss_scale, "LEFT,RIGHT: the unit in which each loss comes; 1,1 for the same [1,10]")
      ->delimiter(',')
      ->expected(2)
      ->check(number_within<double>(1e-6, 1e6))
      ->type_name("X,Y");
  add_number(app, "--seeds", settings.seeds, "Trainings of each calibrator", 1, 1000)->capture_default_str();
  add_number(app, "--epochs", settings.epochs, "Passes over the training pairs", 1, 10000)->capture_default_str();
  add_number(app, "--samples", settings.samples, "Training pairs", 1, 60000)->capture_default_str();
  add_number(app, "--test-samples", settings.test_samples, "Test pairs", 1, 10000)->capture_default_str();
  add_number(app, "--batch", settings.batch, "Pairs a step", 1, 60000)->capture_default_str();
  word("--optimizer", settings.optimizer, "adam, or sgd with momentum 0.9", {"adam", "sgd"});
  add_number(app, "--learning-rate", settings.learning_rate, "0.001 with adam, 0.01 with sgd, unless given", 1e-9, 1e3);
  word("--surface", settings.surface,
       "Where task gradients are compared: published (as in each method's paper), last (shared layer), representation, all "
       "(shared parameters)",
       {"published", "last", "representation", "all"});
  word("--apply-to", settings.apply_to,
       "What is weighted: published (as in each method's paper), all (heads too), shared (parameters only)",
       {"published", "all", "shared"});
  add_number(app, "--every", settings.every, "The rule is asked in one of so many steps; its weights are held in the others", 1,
             1000000)
      ->capture_default_str();
  add_number(app, "--smoothing", settings.smoothing, "How much of a weight stays where the rule gives a new one", 0.0, 0.9999)
      ->capture_default_str();
  add_number(app, "--jobs", settings.jobs, "Trainings beside each other; one for each processor unless given", 1, 1024);
  app.add_flag("--full", full,
               "The full run: 60000 and 10000 pairs, 20 epochs, 5 seeds, except what is given (about two hours on two cores)");
}

void apply_full(const CLI::App& app, Settings& settings) {
  const auto unless_given = [&](const char* option, auto& value, auto full) { value = app.count(option) > 0 ? value : full; };
  unless_given("--samples", settings.samples, std::int64_t{60000});
  unless_given("--test-samples", settings.test_samples, std::int64_t{10000});
  unless_given("--epochs", settings.epochs, 20);
  unless_given("--seeds", settings.seeds, 5);
}

/// Trains every chosen calibrator from every seed, several trainings at a time, and keeps the order of the runs.
std::vector<Run> train_all(const Settings& settings, const std::vector<Choice>& all, const Pairs& train, const Pairs& test,
                           Records& records) {
  const std::size_t count = settings.calibrators.size() * static_cast<std::size_t>(settings.seeds);
  std::vector<Run> runs(count);
  std::size_t finished = 0;
  std::mutex mutex;
  Progress progress(static_cast<double>(count) * settings.epochs * static_cast<double>(settings.steps_per_epoch()));
  in_parallel(count, settings.jobs, [&](std::size_t i) {
    const auto& choice = find_choice(all, settings.calibrators[i % settings.calibrators.size()]);
    const int seed = static_cast<int>(i / settings.calibrators.size()) + 1;
    auto calibration = choice.make(calibration_options(settings));
    Run run = Training(settings, train, test).run(choice.key, calibration, seed, [&] { progress.advance(1); });
    const std::lock_guard<std::mutex> lock(mutex);
    const auto& accuracy = run.epochs.back().accuracy;
    char line[160];
    std::snprintf(line, sizeof line, "%-14s seed %d   left %5.1f %%   right %5.1f %%   (%zu of %zu)", choice.title.c_str(), seed,
                  accuracy[0], accuracy[1], ++finished, count);
    progress.say(line);
    records.add(run);
    runs[i] = std::move(run);
  });
  return runs;
}

/// The trainings that the file does not hold yet, then the table of all of them.
int compare(const Settings& settings, const std::vector<Choice>& all, const Pairs& train, const Pairs& test) {
  Comparison comparison(settings.results, settings);
  struct Missing {
    std::string key;
    int seed;
  };
  std::vector<Missing> missing;  // seed by seed, so that a stop leaves whole seeds
  for (int seed = 1; seed <= settings.seeds; ++seed) {
    for (const auto& key : settings.calibrators) {
      if (!comparison.has(key, seed)) {
        missing.push_back({key, seed});
      }
    }
  }
  Progress progress(static_cast<double>(missing.size()));
  in_parallel(missing.size(), settings.jobs, [&](std::size_t i) {
    auto calibration = find_choice(all, missing[i].key).make(calibration_options(settings));
    comparison.add(Training(settings, train, test).run(missing[i].key, calibration, missing[i].seed, [] {}));
    progress.advance(1);
  });
  comparison.finish(all, settings.calibrators);
  std::cout << "\nTest accuracy, mean ± 95 % interval over seeds; * a difference that chance makes in fewer than 5 of 100 such "
               "tables\n\n"
            << text_table(comparison.table()) << "\nResults: " << settings.results << std::endl;
  return 0;
}

int run(int argc, char** argv) {
  Settings settings;
  CLI::App app(
      "Two garments at once: one network names two garments that lie over one another (Fashion-MNIST), once with the losses\n"
      "summed and once per gradient calibrator. Ends in a table here and a page with plots in the folder OUT.\n",
      "two_garments");
  const auto all_with_defaults = every_choice(settings.loss_scale);
  bool full = false;
  read_command_line(app, settings, all_with_defaults, full);
  CLI11_PARSE(app, argc, argv);
  if (full) {
    apply_full(app, settings);
  }
  expect_whole_batch(settings.batch, settings.samples);
  const auto all = every_choice(settings.loss_scale);
  if (settings.calibrators == std::vector<std::string>{"all"}) {
    settings.calibrators.clear();
    for (const auto& choice : all) {
      settings.calibrators.push_back(choice.key);
    }
  }
  for (const auto& key : settings.calibrators) {
    find_choice(all, key);
  }
  if (!settings.results.empty()) {
    return compare(settings, all, overlay(load_garments(settings.data, "train"), settings.samples, 1),
                   overlay(load_garments(settings.data, "t10k"), settings.test_samples, 2));
  }
  std::filesystem::create_directories(settings.out);
  Records records(settings.out);
  const auto begin = std::chrono::steady_clock::now();
  const auto train = overlay(load_garments(settings.data, "train"), settings.samples, 1);
  const auto test = overlay(load_garments(settings.data, "t10k"), settings.test_samples, 2);
  std::cout << "Two garments at once: " << settings.samples << " pairs, " << settings.epochs << " epochs, "
            << settings.calibrators.size() << " calibrators x " << settings.seeds << " seeds; losses left x "
            << settings.loss_scale[0] << ", right x " << settings.loss_scale[1] << std::endl;
  const auto runs = train_all(settings, all, train, test, records);
  const auto summaries = summarise(runs, all, settings.calibrators);
  records.finish(summaries);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  Report(settings, all, runs, summaries).write(test, "It took " + clock_time(seconds) + " minutes.");
  std::cout
      << "\nTest accuracy, mean ± standard deviation over seeds; * best of its column; step time relative to the plain sum\n\n"
      << text_table(final_table(summaries)) << "\n"
      << "Page: " << std::filesystem::absolute(settings.out).lexically_normal().string() << "/index.html   ("
      << clock_time(seconds) << " minutes)" << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return example::run_example("two_garments", argc, argv, run); }
