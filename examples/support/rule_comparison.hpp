// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <string>
#include <utility>
#include <vector>

#include "parallel.hpp"
#include "progress.hpp"
#include "statistics.hpp"
#include "svg.hpp"
#include "text_table.hpp"

namespace example {

/// What one training of many tasks came to.
struct ManyTasksRun {
  std::vector<double> scores;                        ///< of each task, in percent
  std::vector<std::pair<double, double>> conflicts;  ///< epochs passed, share of pairs of tasks in conflict
  double conflict_share = 0;                         ///< mean of those
  double step_seconds = 0;                           ///< median processor time of a step in which nothing extra was measured
};

/// Gathers a training's steps.
class ManyTasksLog {
 public:
  /// @param measure_every  0: conflicts cost the step nothing, since the rule needs its gradients anyway
  explicit ManyTasksLog(int measure_every) : measure_every_(measure_every) {}

  /// @param epochs          passed, with fraction
  /// @param conflict_share  NaN where nothing was measured
  void step(double epochs, double conflict_share, double seconds) {
    const bool measured = !std::isnan(conflict_share);
    if (measured) {
      run_.conflicts.emplace_back(epochs, conflict_share);
      shares_.push_back(conflict_share);
    }
    if (!measured || measure_every_ == 0) {
      seconds_.push_back(seconds);
    }
  }

  ManyTasksRun finished(std::vector<double> scores) {
    run_.scores = std::move(scores);
    run_.conflict_share = mean(shares_);
    run_.step_seconds = median(seconds_);
    return std::move(run_);
  }

 private:
  int measure_every_;
  ManyTasksRun run_;
  std::vector<double> seconds_, shares_;
};

/// What a score is called, and whether more of it is better.
struct Score {
  std::string name;
  bool more_is_better;
};

/// Rules on the same many tasks, seeds, initial weights and batches. The first is what the others are compared with.
class RuleComparison {
 public:
  /// @param titles  of the rules
  /// @param runs    of each rule, one a seed
  RuleComparison(std::vector<std::string> titles, std::vector<std::vector<ManyTasksRun>> runs, Score score)
      : titles_(std::move(titles)), runs_(std::move(runs)), score_(std::move(score)) {}

  /// Conflicts, the mean over the tasks, its difference from the first rule's seed by seed, the worst task, and the time of a
  /// step.
  std::vector<std::vector<std::string>> table() const {
    std::vector<std::vector<std::string>> rows = {
        {"rule", "pairs in conflict %", "mean " + score_.name + " %", "against " + titles_[0], "worst task %", "step time"}};
    const double plain = median(per_seed(0, [](const ManyTasksRun& run) { return run.step_seconds; }));
    for (std::size_t r = 0; r < titles_.size(); ++r) {
      rows.push_back({titles_[r], with_interval(per_seed(r, [](const ManyTasksRun& run) { return 100 * run.conflict_share; }), 1),
                      with_interval(per_seed(r, mean_score), 2), r == 0 ? "" : with_interval(difference(r), 2),
                      with_interval(per_seed(r, [this](const ManyTasksRun& run) { return worst(run); }), 2),
                      "x " + number(median(per_seed(r, [](const ManyTasksRun& run) { return run.step_seconds; })) / plain, 1)});
    }
    return rows;
  }

  /// In words, which differences the seeds bear out.
  std::string verdict() const {
    std::string text;
    for (std::size_t r = 1; r < titles_.size(); ++r) {
      const auto gain = difference(r);
      const bool clear = std::abs(mean(gain)) > interval(gain);
      text +=
          titles_[r] +
          (clear ? (mean(gain) > 0) == score_.more_is_better ? " is better than " : " is worse than " : " cannot be told from ") +
          titles_[0] + " here: " + with_interval(gain, 2) + " points. ";
    }
    return text;
  }

  /// A row for each task, the mean over seeds by each rule.
  std::vector<std::vector<std::string>> by_task(const std::vector<std::string>& tasks) const {
    std::vector<std::vector<std::string>> rows = {{"task"}};
    for (const auto& title : titles_) {
      rows[0].push_back(title + " %");
    }
    for (std::size_t task = 0; task < tasks.size(); ++task) {
      rows.push_back({tasks[task]});
      for (std::size_t r = 0; r < titles_.size(); ++r) {
        rows.back().push_back(with_interval(per_seed(r, [task](const ManyTasksRun& run) { return run.scores[task]; }), 1));
      }
    }
    return rows;
  }

  /// Shares of pairs in conflict over training, averaged over seeds in twenty windows.
  LinePlot conflicts(double epochs) const {
    LinePlot plot;
    plot.title = "pairs of tasks in conflict";
    plot.x_label = "epoch";
    plot.y_label = "share";
    plot.low = 0;
    plot.legend = true;
    for (std::size_t r = 0; r < titles_.size(); ++r) {
      plot.series.push_back({titles_[r], curve(runs_[r], epochs), static_cast<int>(r % 8)});
    }
    return plot;
  }

 private:
  static std::string number(double value, int digits) {
    char text[32];
    std::snprintf(text, sizeof text, "%.*f", digits, value);
    return text;
  }

  static std::string with_interval(const std::vector<double>& values, int digits) {
    return number(mean(values), digits) + " ± " + number(interval(values), digits);
  }

  static double mean_score(const ManyTasksRun& run) { return mean(run.scores); }

  double worst(const ManyTasksRun& run) const {
    const auto [least, most] = std::minmax_element(run.scores.begin(), run.scores.end());
    return score_.more_is_better ? *least : *most;
  }

  template <class Value>
  std::vector<double> per_seed(std::size_t rule, Value value) const {
    std::vector<double> values;
    for (const auto& run : runs_[rule]) {
      values.push_back(value(run));
    }
    return values;
  }

  /// Of the mean scores, from the first rule's, seed by seed.
  std::vector<double> difference(std::size_t rule) const {
    std::vector<double> values;
    for (std::size_t s = 0; s < runs_[rule].size(); ++s) {
      values.push_back(mean_score(runs_[rule][s]) - mean_score(runs_[0][s]));
    }
    return values;
  }

  static std::vector<std::pair<double, double>> curve(const std::vector<ManyTasksRun>& runs, double epochs) {
    constexpr std::size_t windows = 20;
    std::vector<double> sums(windows), counts(windows);
    for (const auto& run : runs) {
      for (const auto& [at, share] : run.conflicts) {
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

  std::vector<std::string> titles_;
  std::vector<std::vector<ManyTasksRun>> runs_;
  Score score_;
};

/// Trains by each rule with each seed from 1, several at once, and shows how far it is.
/// @param rules           what has a title
/// @param steps           of one training
/// @param train           called as train(rule, seed, advance), where advance() is to be called after each step: a ManyTasksRun
template <class Rule, class Train>
RuleComparison compare_rules(const std::vector<Rule>& rules, int seeds, int jobs, double steps, const Score& score,
                             const Train& train) {
  const std::size_t count = rules.size() * static_cast<std::size_t>(seeds);
  std::vector<std::vector<ManyTasksRun>> runs(rules.size(), std::vector<ManyTasksRun>(static_cast<std::size_t>(seeds)));
  Progress progress(static_cast<double>(count) * steps);
  in_parallel(count, jobs, [&](std::size_t i) {
    const std::size_t rule = i % rules.size(), seed = i / rules.size();
    runs[rule][seed] = train(rules[rule], static_cast<int>(seed) + 1, [&] { progress.advance(1); });
  });
  std::vector<std::string> titles;
  for (const Rule& rule : rules) {
    titles.emplace_back(rule.title);
  }
  return {titles, std::move(runs), score};
}

/// Ends a program: the table and the verdict, and where the page is.
inline void tell(const std::string& heading, const RuleComparison& comparison, const std::string& out,
                 std::chrono::steady_clock::time_point begin) {
  std::cout << "\n"
            << heading << "\n\n"
            << text_table(comparison.table()) << "\n"
            << comparison.verdict() << "\n\nPage: " << std::filesystem::absolute(out).lexically_normal().string()
            << "/index.html   (" << clock_time(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count())
            << " minutes)" << std::endl;
}

}  // namespace example
