// SPDX-License-Identifier: Apache-2.0
// Twenty tasks: each of ten garments against the rest, in pictures and in their mirror images. Projection with and without
// priorities, against the plain sum.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <iostream>
#include <mutex>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "../support/command_line.hpp"
#include "../support/page.hpp"
#include "../support/progress.hpp"
#include "../support/text_table.hpp"
#include "training.hpp"

namespace {

using namespace example;

/// A rule under comparison. All are measured at the same place, all shared parameters, so that their conflicts compare.
struct Rule {
  const char* title;
  int measure_every;  ///< 0: the rule needs the gradients in each step anyway
  std::function<fuller::Calibration(const fuller::CalibrationOptions&)> make;
};

std::vector<Rule> rules() {
  fuller::DTPOptions by_loss;
  by_loss.gamma = 1;  // the paper's exponent for twenty tasks
  return {
      {"Uniform", 8, [](const fuller::CalibrationOptions& o) { return fuller::Calibration(fuller::Uniform(), task_names(), o); }},
      {"PCGrad", 0, [](const fuller::CalibrationOptions& o) { return fuller::Calibration(fuller::PCGrad(), task_names(), o); }},
      {"wPCGrad + DTP", 0, [by_loss](const fuller::CalibrationOptions& o) {
         return fuller::Calibration(fuller::WPCGrad<fuller::DTP>(fuller::DTP(by_loss)), task_names(), o);
       }}};
}

std::string number(double value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string with_interval(const std::vector<double>& values, int digits) {
  return number(mean(values), digits) + " ± " + number(interval(values), digits);
}

template <class Value>
std::vector<double> per_seed(const std::vector<Outcome>& outcomes, Value value) {
  std::vector<double> values;
  for (const auto& outcome : outcomes) {
    values.push_back(value(outcome));
  }
  return values;
}

double mean_accuracy(const Outcome& o) { return mean({o.accuracy.begin(), o.accuracy.end()}); }
double worst_accuracy(const Outcome& o) { return *std::min_element(o.accuracy.begin(), o.accuracy.end()); }

/// Conflict share over training, averaged over seeds in twenty windows.
std::vector<std::pair<double, double>> conflict_curve(const std::vector<Outcome>& outcomes, double epochs) {
  constexpr std::size_t windows = 20;
  std::vector<double> sums(windows), counts(windows);
  for (const auto& outcome : outcomes) {
    for (const auto& [at, share] : outcome.conflicts) {
      const auto window = std::min(static_cast<std::size_t>(at / epochs * windows), windows - 1);
      sums[window] += share;
      counts[window] += 1;
    }
  }
  std::vector<std::pair<double, double>> points;
  for (std::size_t w = 0; w < windows; ++w) {
    if (counts[w] > 0) {
      points.emplace_back(epochs * (static_cast<double>(w) + 0.5) / windows, sums[w] / counts[w]);
    }
  }
  return points;
}

struct Comparison {
  std::vector<std::vector<std::string>> table;
  std::string verdict;
};

Comparison compare(const std::vector<Rule>& all, const std::vector<std::vector<Outcome>>& outcomes) {
  Comparison result;
  result.table = {{"rule", "pairs in conflict %", "mean accuracy %", "against Uniform", "worst task %", "step time"}};
  const double plain = median(per_seed(outcomes[0], [](const Outcome& o) { return o.step_seconds; }));
  for (std::size_t r = 0; r < all.size(); ++r) {
    std::vector<double> gain;
    for (std::size_t s = 0; s < outcomes[r].size(); ++s) {
      gain.push_back(mean_accuracy(outcomes[r][s]) - mean_accuracy(outcomes[0][s]));
    }
    result.table.push_back(
        {all[r].title, with_interval(per_seed(outcomes[r], [](const Outcome& o) { return 100 * o.conflict_share; }), 1),
         with_interval(per_seed(outcomes[r], mean_accuracy), 2), r == 0 ? "" : with_interval(gain, 2),
         with_interval(per_seed(outcomes[r], worst_accuracy), 2),
         "x " + number(median(per_seed(outcomes[r], [](const Outcome& o) { return o.step_seconds; })) / plain, 1)});
    if (r > 0) {
      const bool clear = std::abs(mean(gain)) > interval(gain);
      result.verdict += std::string(all[r].title) +
                        (clear ? mean(gain) > 0 ? " is better than" : " is worse than" : " cannot be told from") +
                        " the plain sum here: " + with_interval(gain, 2) + " points. ";
    }
  }
  return result;
}

void write_page(const std::string& folder, const std::vector<Rule>& all, const std::vector<std::vector<Outcome>>& outcomes,
                const Comparison& comparison, const Lessons& lessons) {
  Page page("Twenty tasks: conflicts, and what projecting them away does");
  page.paragraph(
      "Ten tasks ask whether a picture shows a garment of one class; ten more ask the same of the picture in a mirror. One small "
      "trunk serves all twenty. Two tasks are in conflict where their gradients on the trunk point against each other.");
  page.paragraph(comparison.verdict);
  page.table(comparison.table);
  page.paragraph(
      "Accuracy is balanced (guessing gives 50). ± is half a 95 % confidence interval over " +
      std::to_string(outcomes[0].size()) +
      " seeds (Student's t); 'against Uniform' compares seed by seed. Step time is processor time, plain sum = 1; rules that "
      "project need a pass through the trunk for each task.");
  LinePlot conflicts;
  conflicts.title = "pairs of tasks in conflict";
  conflicts.x_label = "epoch";
  conflicts.y_label = "share";
  conflicts.low = 0;
  conflicts.legend = true;
  const auto names = task_names();
  for (std::size_t r = 0; r < all.size(); ++r) {
    conflicts.series.push_back({all[r].title, conflict_curve(outcomes[r], lessons.epochs), static_cast<int>(r)});
  }
  page.figures({svg(conflicts)});
  page.heading("Task by task");
  std::vector<std::vector<std::string>> by_task = {{"task"}};
  for (const auto& rule : all) {
    by_task[0].push_back(std::string(rule.title) + " %");
  }
  for (std::size_t task = 0; task < names.size(); ++task) {
    by_task.push_back({names[task]});
    for (const auto& of_rule : outcomes) {
      by_task.back().push_back(with_interval(per_seed(of_rule, [&](const Outcome& o) { return o.accuracy[task]; }), 1));
    }
  }
  page.table(by_task);
  page.write(folder + "/index.html");
}

int run(int argc, char** argv) {
  std::string data = debian_garments, out = "reports/twenty_tasks";
  int seeds = 5, jobs = 0;
  std::int64_t samples = 6000, test_samples = 4000;
  Lessons lessons;
  CLI::App app(
      "Twenty tasks: each of ten garments against the rest, in pictures and in their mirror images, trained with the losses\n"
      "summed, with PCGrad and with wPCGrad under dynamic task prioritisation. Ends in a table here and a page in OUT.\n",
      "twenty_tasks");
  add_garments_folder(app, data);
  add_folder(app, "--out", out, "Folder for the page; made if missing");
  add_number(app, "--seeds", seeds, "Trainings of each rule; intervals need two", 2, 1000)->capture_default_str();
  add_number(app, "--epochs", lessons.epochs, "Passes over the training pictures", 1, 10000)->capture_default_str();
  add_number(app, "--samples", samples, "Training pictures", 1, 60000)->capture_default_str();
  add_number(app, "--test-samples", test_samples, "Test pictures", 200, 10000)->capture_default_str();
  add_number(app, "--batch", lessons.batch, "Pictures a step", 1, 60000)->capture_default_str();
  add_number(app, "--jobs", jobs, "Trainings beside each other; 0: one for each processor", 0, 1024)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  expect_whole_batch(lessons.batch, samples);
  std::filesystem::create_directories(out);
  const auto begin = std::chrono::steady_clock::now();
  const auto first = [](const Garments& all, std::int64_t count) {
    count = std::min(count, all.labels.size(0));
    return Garments{all.images.slice(0, 0, count), all.labels.slice(0, 0, count)};
  };
  const auto train_data = first(load_garments(data, "train"), samples);
  const auto test_data = first(load_garments(data, "t10k"), test_samples);
  const auto all = rules();
  const std::size_t count = all.size() * static_cast<std::size_t>(seeds);
  std::vector<std::vector<Outcome>> outcomes(all.size(), std::vector<Outcome>(static_cast<std::size_t>(seeds)));
  Progress progress(static_cast<double>(count) * lessons.epochs * static_cast<double>(train_data.labels.size(0) / lessons.batch));
  in_parallel(count, jobs, [&](std::size_t i) {
    const std::size_t rule = i % all.size(), seed = i / all.size();
    fuller::CalibrationOptions options;
    options.surface = fuller::Surface::all_shared;
    options.measure_every = all[rule].measure_every;
    auto calibration = all[rule].make(options);
    outcomes[rule][seed] = train(calibration, lessons, all[rule].measure_every, static_cast<int>(seed) + 1, train_data, test_data,
                                 [&] { progress.advance(1); });
  });
  const auto comparison = compare(all, outcomes);
  write_page(out, all, outcomes, comparison, lessons);
  std::cout << "\nBalanced test accuracy of twenty tasks, ± half a 95 % confidence interval over " << seeds << " seeds\n\n"
            << text_table(comparison.table) << "\n"
            << comparison.verdict << "\n\nPage: " << std::filesystem::absolute(out).lexically_normal().string()
            << "/index.html   (" << clock_time(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count())
            << " minutes)" << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return example::run_example("twenty_tasks", argc, argv, run); }
