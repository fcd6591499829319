// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/version.h>
#include <nlohmann/json.hpp>

#include "../support/output_file.hpp"
#include "../support/statistics.hpp"
#include "choices.hpp"
#include "settings.hpp"
#include "summary.hpp"

namespace example {

/// What every training of a comparison came to, in a file that is whole at any moment: trainings that are in it are not made
/// again, so that a comparison of hours goes on after any stop.
class Comparison {
 public:
  using Json = nlohmann::ordered_json;

  /// @throws std::runtime_error for a file of other settings, or none of these
  Comparison(std::string file, const Settings& settings) : file_(std::move(file)) {
    results_["program"] = "two_garments";
    results_["settings"] = described(settings);
    results_["libtorch"] = TORCH_VERSION;
    results_["runs"] = Json::array();
    if (!std::filesystem::exists(file_)) {
      return;
    }
    std::ifstream in(file_);
    const Json saved = Json::parse(in, nullptr, /*allow_exceptions=*/false);
    if (!saved.is_object() || saved.value("program", "") != "two_garments" || !saved.contains("runs")) {
      throw std::runtime_error(file_ + " holds no results of two_garments; name another file");
    }
    if (saved.at("settings") != results_["settings"]) {
      throw std::runtime_error(file_ + " holds results of other settings, " + saved.at("settings").dump() +
                               "; choose those, or name another file");
    }
    results_["runs"] = saved.at("runs");
  }

  bool has(const std::string& key, int seed) const {
    const Json& runs = results_.at("runs");
    return std::any_of(runs.begin(), runs.end(),
                       [&](const Json& run) { return run.at("rule") == key && run.at("seed") == seed; });
  }

  /// Of the last epoch. From any thread.
  void add(const Run& run) {
    const std::lock_guard<std::mutex> lock(mutex_);
    const EpochRecord& last = run.epochs.back();
    results_["runs"].push_back(
        {{"rule", run.calibrator}, {"seed", run.seed}, {"left", last.accuracy[0]}, {"right", last.accuracy[1]}});
    write();
  }

  /// Adds a row for each rule: means, the difference of the mean of both tasks from the baseline's, seed by seed, and what it is
  /// worth as one of so many (Holm). The baseline is the best of the sums tuned by hand, by that mean.
  void finish(const std::vector<Choice>& all, const std::vector<std::string>& chosen) {
    std::string baseline;
    for (const auto& key : chosen) {
      if (key.rfind("tuned", 0) == 0 && (baseline.empty() || mean(both(key)) > mean(both(baseline)))) {
        baseline = key;
      }
    }
    std::vector<double> probabilities;
    Json rows = Json::array();
    for (const auto& key : chosen) {
      const auto of_left = values(key, "left");
      const auto of_right = values(key, "right");
      std::vector<double> worse;
      for (std::size_t i = 0; i < of_left.size(); ++i) {
        worse.push_back(std::min(of_left[i], of_right[i]));
      }
      const auto difference = baseline.empty() || key == baseline ? std::vector<double>() : paired(key, baseline);
      probabilities.push_back(paired_probability(difference));
      rows.push_back({{"rule", key},
                      {"title", find_choice(all, key).title},
                      {"seeds", of_left.size()},
                      {"left", mean(of_left)},
                      {"right", mean(of_right)},
                      {"both", mean(both(key))},
                      {"both_interval", interval(both(key))},
                      {"worse", mean(worse)},
                      {"difference", mean(difference)},
                      {"difference_interval", interval(difference)},
                      {"p", probabilities.back()}});
    }
    const auto corrected = holm(probabilities);
    for (std::size_t i = 0; i < corrected.size(); ++i) {
      rows[i]["p_holm"] = corrected[i];
    }
    results_["baseline"] = baseline;
    results_["rows"] = rows;
    write();
  }

  /// The rows as a table: a head, then each rule; a '*' before differences that chance hardly makes (5 %, Holm).
  std::vector<std::vector<std::string>> table() const {
    std::vector<std::vector<std::string>> lines = {
        {"rule", "left %", "right %", "worse %", "mean of both %", "against tuned", "p (Holm)"}};
    for (const Json& row : results_.at("rows")) {
      const double p = number(row, "p_holm");
      const bool is_baseline = row.at("rule") == results_.at("baseline");
      const auto with_interval = [&](const char* key, const char* half) {
        const double width = number(row, half);
        return fixed(number(row, key), 2) + (std::isnan(width) ? "" : " ± " + fixed(width, 2));
      };
      lines.push_back({row.at("title"), fixed(number(row, "left"), 1), fixed(number(row, "right"), 1),
                       fixed(number(row, "worse"), 1), with_interval("both", "both_interval"),
                       is_baseline ? "the baseline" : (p < 0.05 ? "*" : "") + with_interval("difference", "difference_interval"),
                       std::isnan(p) ? "" : fixed(p, 3)});
    }
    return lines;
  }

 private:
  static Json described(const Settings& settings) {
    Json all = {{"samples", settings.samples}, {"test_samples", settings.test_samples}, {"epochs", settings.epochs},
                {"batch", settings.batch},     {"optimizer", settings.optimizer},       {"learning_rate", settings.learning_rate},
                {"surface", settings.surface}, {"apply_to", settings.apply_to},         {"loss_scale", settings.loss_scale}};
    if (settings.every > 1) {
      all["every"] = settings.every;
    }
    if (settings.smoothing > 0) {
      all["smoothing"] = settings.smoothing;
    }
    return all;
  }

  /// NaN is null in JSON.
  static double number(const Json& row, const char* key) {
    return row.at(key).is_number() ? row.at(key).get<double>() : std::nan("");
  }

  /// One number for each seed, in their order.
  std::vector<double> values(const std::string& key, const char* field) const {
    std::vector<std::pair<int, double>> by_seed;
    for (const Json& run : results_.at("runs")) {
      if (run.at("rule") == key) {
        by_seed.emplace_back(run.at("seed").get<int>(), run.at(field).get<double>());
      }
    }
    std::sort(by_seed.begin(), by_seed.end());
    std::vector<double> numbers;
    for (const auto& one : by_seed) {
      numbers.push_back(one.second);
    }
    return numbers;
  }

  std::vector<double> both(const std::string& key) const {
    std::vector<double> numbers = values(key, "left");
    const std::vector<double> right = values(key, "right");
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      numbers[i] = (numbers[i] + right[i]) / 2;
    }
    return numbers;
  }

  /// Differences of the mean of both tasks, of seeds that both rules have.
  std::vector<double> paired(const std::string& key, const std::string& baseline) const {
    std::vector<double> differences;
    for (const Json& mine : results_.at("runs")) {
      for (const Json& other : results_.at("runs")) {
        if (mine.at("rule") == key && other.at("rule") == baseline && mine.at("seed") == other.at("seed")) {
          differences.push_back((mine.at("left").get<double>() + mine.at("right").get<double>() - other.at("left").get<double>() -
                                 other.at("right").get<double>()) /
                                2);
        }
      }
    }
    return differences;
  }

  void write() const { write_file(file_, results_.dump(1) + "\n"); }

  std::string file_;
  Json results_;
  std::mutex mutex_;
};

}  // namespace example
