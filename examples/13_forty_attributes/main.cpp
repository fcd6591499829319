// SPDX-License-Identifier: Apache-2.0
// Forty binary attributes of a picture on one ResNet-18: of garments, or of CelebA's faces. Projection with and without
// priorities, against the plain sum.
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include "../support/command_line.hpp"
#include "../support/page.hpp"
#include "face_attributes.hpp"
#include "garment_attributes.hpp"
#include "rules.hpp"
#include "training.hpp"

namespace {

using namespace example;

struct Settings {
  std::string data = debian_garments, celeba, out = "reports/forty_attributes", surface = "representation";
  std::vector<std::string> rules = {"sum", "pcgrad", "wpcgrad"};
  int seeds = 5, jobs = 0;
  std::int64_t samples = 6000, test_samples = 4000;
  Lessons lessons;
};

void read_command_line(CLI::App& app, Settings& settings) {
  std::string keys;
  for (const auto& rule : rules()) {
    keys += (keys.empty() ? "" : ", ") + rule.key;
  }
  add_garments_folder(app, settings.data);
  app.add_option("--celeba", settings.celeba,
                 "Folder with CelebA's list_attr_celeba.txt, list_eval_partition.txt and img_align_celeba, in place of garments")
      ->type_name("DIR");
  add_folder(app, "--out", settings.out, "Folder for the page; made if missing");
  app.add_option("--rules", settings.rules, "Which to train with, separated by commas; the others are compared with the first")
      ->delimiter(',')
      ->type_name("A,B,...")
      ->capture_default_str();
  app.add_option(
         "--surface", settings.surface,
         "Where the gradients of the tasks are compared: representation (of the trunk), all (shared parameters, as wPCGrad)")
      ->check(CLI::IsMember({"representation", "all"}))
      ->type_name("WORD")
      ->capture_default_str();
  add_number(app, "--width", settings.lessons.width, "Channels of the first stage (Sener and Koltun 64)", 1, 1024)
      ->capture_default_str();
  add_number(app, "--seeds", settings.seeds, "Trainings of each rule; intervals need two", 2, 1000)->capture_default_str();
  add_number(app, "--epochs", settings.lessons.epochs, "Passes over the training pictures", 1, 10000)->capture_default_str();
  add_number(app, "--samples", settings.samples, "Training pictures", 2, 1000000)->capture_default_str();
  add_number(app, "--test-samples", settings.test_samples, "Test pictures", 1, 1000000)->capture_default_str();
  add_number(app, "--batch", settings.lessons.batch, "Pictures a step", 2, 100000)->capture_default_str();
  add_number(app, "--learning-rate", settings.lessons.learning_rate, "Of Adam", 1e-9, 1e3)->capture_default_str();
  add_number(app, "--jobs", settings.jobs, "Trainings beside each other; 0: one for each processor", 0, 1024)
      ->capture_default_str();
  app.footer("Rules: " + keys +
             ".\nWith --celeba, what is not given is as in the code of Sener and Koltun, on all shared parameters as wPCGrad's "
             "Table 4: 64\n"
             "channels (wPCGrad took fewer, and does not say how many), all pictures, batches of 256, 100 epochs, learning rate "
             "0.0005. On\n"
             "a CPU that is out of reach; --width 8 --epochs 5 --surface representation takes hours.");
}

void apply_celeba(const CLI::App& app, Settings& settings) {
  const auto unless_given = [&](const char* option, auto& value, auto other) { value = app.count(option) > 0 ? value : other; };
  unless_given("--width", settings.lessons.width, std::int64_t{64});
  unless_given("--epochs", settings.lessons.epochs, 100);
  unless_given("--samples", settings.samples, std::int64_t{1000000});
  unless_given("--test-samples", settings.test_samples, std::int64_t{1000000});
  unless_given("--batch", settings.lessons.batch, std::int64_t{256});
  unless_given("--learning-rate", settings.lessons.learning_rate, 5e-4);
  unless_given("--surface", settings.surface, std::string("all"));
}

AttributeSet load(const Settings& settings) {
  if (!settings.celeba.empty()) {
    return face_attribute_set(settings.celeba, settings.samples, settings.test_samples, settings.jobs);
  }
  const auto first = [](const Garments& all, std::int64_t count) {
    count = std::min(count, all.labels.size(0));
    return Garments{all.images.slice(0, 0, count), all.labels.slice(0, 0, count)};
  };
  return garment_attribute_set(first(load_garments(settings.data, "train"), settings.samples),
                               first(load_garments(settings.data, "t10k"), settings.test_samples));
}

RuleComparison train_all(const Settings& settings, const AttributeSet& set) {
  const double steps = settings.lessons.epochs * static_cast<double>(set.train.size() / settings.lessons.batch);
  return compare_rules(chosen_rules(settings.rules), settings.seeds, settings.jobs, steps, {"error", false},
                       [&](const auto& rule, int seed, const auto& advance) {
                         fuller::CalibrationOptions options;
                         options.surface =
                             settings.surface == "all" ? fuller::Surface::all_shared : fuller::Surface::representation;
                         options.measure_every = rule.measure_every;
                         auto calibration = rule.make(set.names, options);
                         return train(calibration, settings.lessons, rule.measure_every, seed, set, advance);
                       });
}

std::string percent(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.1f", value);
  return text;
}

void write_page(const Settings& settings, const AttributeSet& set, const RuleComparison& comparison) {
  Page page("Forty attributes: conflicts, and what projecting them away does");
  page.paragraph(
      (settings.celeba.empty()
           ? "Forty questions about the picture of a garment, half of its class and half of the picture itself, each answered"
           : "Each attribute of a face in CelebA is a task, answered") +
      std::string(" by yes or no. One ResNet-18 of ") + std::to_string(settings.lessons.width) +
      " channels serves all, with a linear layer for each. Two tasks are in conflict where their gradients " +
      (settings.surface == "all" ? "on the shared parameters" : "at the trunk's output") + " point against each other.");
  page.paragraph(comparison.verdict());
  page.table(comparison.table());
  const auto commoner = error_of_the_commoner(set);
  page.paragraph(
      "Error is the share of test pictures that are told wrongly; who always says what most training pictures are has " +
      percent(mean(commoner)) + " %. ± is half a 95 % confidence interval over " + std::to_string(settings.seeds) +
      " seeds (Student's t); 'against' compares seed by seed. Step time is processor time, against the first rule's.");
  page.figures({svg(comparison.conflicts(settings.lessons.epochs))});
  page.heading("Attribute by attribute");
  auto rows = comparison.by_task(set.names);
  rows[0].push_back("the commoner answer %");
  for (std::size_t a = 0; a < set.names.size(); ++a) {
    rows[a + 1].push_back(percent(commoner[a]));
  }
  page.table(rows);
  page.write(settings.out + "/index.html");
}

int run(int argc, char** argv) {
  Settings settings;
  CLI::App app(
      "Forty attributes: forty questions of yes or no about a picture, of a garment or of a face, on one ResNet-18, trained with "
      "the\n"
      "losses summed, with PCGrad, and with wPCGrad under dynamic task prioritisation (exponent 4), or other rules. Ends in a "
      "table\n"
      "here and a page in OUT.\n",
      "forty_attributes");
  read_command_line(app, settings);
  CLI11_PARSE(app, argc, argv);
  if (!settings.celeba.empty()) {
    apply_celeba(app, settings);
  }
  chosen_rules(settings.rules);
  expect_whole_batch(settings.lessons.batch, settings.samples);
  std::filesystem::create_directories(settings.out);
  const auto begin = std::chrono::steady_clock::now();
  const AttributeSet set = load(settings);
  expect_whole_batch(settings.lessons.batch, set.train.size());
  const auto comparison = train_all(settings, set);
  write_page(settings, set, comparison);
  tell("Test error of " + std::to_string(set.names.size()) + " attributes, ± half a 95 % confidence interval over " +
           std::to_string(settings.seeds) + " seeds; always the commoner answer: " + percent(mean(error_of_the_commoner(set))) +
           " %",
       comparison, settings.out, begin);
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return example::run_example("forty_attributes", argc, argv, run); }
