// SPDX-License-Identifier: Apache-2.0
// Two modalities: the halves of a picture, one seen badly. Task weights and modality gates together, in one backward.
#include <chrono>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "../support/command_line.hpp"
#include "../support/progress.hpp"
#include "../support/statistics.hpp"
#include "../support/text_table.hpp"
#include "training.hpp"

namespace {

using namespace example;

constexpr Arm arms[] = {{"SGD", "off"},   {"SGD", "gradient"},   {"SGD", "update"},
                        {"AdamW", "off"}, {"AdamW", "gradient"}, {"AdamW", "update"}};

std::string text(double value, int digits) {
  char buffer[32];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, value);
  return buffer;
}

/// Mean ± standard deviation over the seeds of one number of the outcomes.
template <class Value>
std::string over_seeds(const std::vector<Outcome>& outcomes, Value value) {
  std::vector<double> values;
  for (const auto& outcome : outcomes) {
    values.push_back(value(outcome));
  }
  return text(mean(values), 1) + " ± " + text(deviation(values), 1);
}

int run(int argc, char** argv) {
  std::string data = debian_garments;
  std::int64_t samples = 12000, test_samples = 4000;
  int seeds = 3, jobs = 0;
  Schedule schedule;
  CLI::App app(
      "Two modalities: one network names a garment and tells whether it hangs upside down, from its left half seen well and its\n"
      "right half seen badly. IMTL-G weighs the tasks, FULLER's gate slows the branch that is ahead; off, on gradients, on "
      "updates.\n",
      "two_modalities");
  add_garments_folder(app, data);
  add_number(app, "--seeds", seeds, "Trainings of each way", 1, 1000)->capture_default_str();
  add_number(app, "--epochs", schedule.epochs, "Passes over the training pictures", 1, 10000)->capture_default_str();
  add_number(app, "--samples", samples, "Training pictures", 1, 60000)->capture_default_str();
  add_number(app, "--test-samples", test_samples, "Test pictures", 1, 10000)->capture_default_str();
  add_number(app, "--batch", schedule.batch, "Pictures a step", 1, 60000)->capture_default_str();
  add_number(app, "--alpha", schedule.alpha, "How strongly the gate answers to an imbalance (the paper: 0.1)", 1e-6, 100)
      ->capture_default_str();
  add_number(app, "--jobs", jobs, "Trainings beside each other; 0: one for each processor", 0, 1024)->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  expect_whole_batch(schedule.batch, samples);

  const auto begin = std::chrono::steady_clock::now();
  const auto train_data = halve(load_garments(data, "train"), samples, 1);
  const auto test_data = halve(load_garments(data, "t10k"), test_samples, 2);
  const std::size_t count = std::size(arms) * static_cast<std::size_t>(seeds);
  std::vector<std::vector<Outcome>> outcomes(std::size(arms), std::vector<Outcome>(static_cast<std::size_t>(seeds)));
  Progress progress(static_cast<double>(count) * schedule.epochs * static_cast<double>(samples / schedule.batch));
  in_parallel(count, jobs, [&](std::size_t i) {
    const std::size_t arm = i % std::size(arms), seed = i / std::size(arms);
    outcomes[arm][seed] =
        train(arms[arm], schedule, static_cast<int>(seed) + 1, train_data, test_data, [&] { progress.advance(1); });
  });

  std::vector<std::vector<std::string>> rows = {{"optimizer", "gate acts on", "garment %", "upside down %", "strong half only %",
                                                 "weak half only %", "imbalance", "gated", "gates", "strong moved"}};
  for (std::size_t a = 0; a < std::size(arms); ++a) {
    double raw = 0, gated = 0, strong = 0, weak = 0, moved = 0;
    for (const auto& o : outcomes[a]) {
      raw += o.gamma_raw / seeds, gated += o.gamma_gated / seeds;
      strong += o.gate_strong / seeds, weak += o.gate_weak / seeds, moved += o.moved / seeds;
    }
    rows.push_back({arms[a].optimizer, arms[a].gate, over_seeds(outcomes[a], [](const Outcome& o) { return o.garment; }),
                    over_seeds(outcomes[a], [](const Outcome& o) { return o.upside_down; }),
                    over_seeds(outcomes[a], [](const Outcome& o) { return o.strong_only; }),
                    over_seeds(outcomes[a], [](const Outcome& o) { return o.weak_only; }), text(raw, 2), text(gated, 2),
                    text(strong, 2) + " / " + text(weak, 2), text(moved, 2)});
  }
  std::cout
      << "\nTest accuracy, mean ± standard deviation over " << seeds << " seeds.\n"
      << "  half only      garments named with the other half blank\n"
      << "  imbalance      gamma_modal: larger over smaller norm of the fusion layer's gradient, half by half; mean over steps\n"
      << "  gated, gates   the same times the gates of strong / weak, whose means follow\n"
      << "  strong moved   how far the strong branch's parameters went: AdamW divides a lasting gate on gradients out again,\n"
      << "                 a gate on updates it cannot\n\n"
      << text_table(rows) << "\n"
      << clock_time(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count()) << " minutes" << std::endl;
  return 0;
}

}  // namespace

int main(int argc, char** argv) { return example::run_example("two_modalities", argc, argv, run); }
