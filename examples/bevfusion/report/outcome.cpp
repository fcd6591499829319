// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/outcome.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <iterator>
#include <map>
#include <utility>

#include "bevfusion/tasks/task_sheet.hpp"
#include "support/statistics.hpp"

namespace bevfusion {
namespace {

/// The runs' values by their seeds; empty where a seed is not known or stands twice.
std::map<std::string, double> by_seed(const RunGroup& group, const std::vector<double>& values) {
  std::map<std::string, double> out;
  for (std::size_t r = 0; r < group.runs.size(); ++r) {
    const std::string seed = group.runs[r].config_of("training.seed");
    if (seed.empty() || !out.emplace(seed, values[r]).second) {
      return {};
    }
  }
  return out;
}

std::vector<double> finite(const std::vector<double>& values) {
  std::vector<double> out;
  std::copy_if(values.begin(), values.end(), std::back_inserter(out), [](double value) { return std::isfinite(value); });
  return out;
}

/// Half the width of Welch's interval of a difference of means.
double welch(const std::vector<double>& a, const std::vector<double>& b) {
  const auto of_mean = [](const std::vector<double>& values) {
    return std::pow(example::deviation(values), 2) / static_cast<double>(values.size());
  };
  const double of_a = of_mean(a);
  const double of_b = of_mean(b);
  if (of_a + of_b == 0) {
    return 0;
  }
  const double freedom = std::pow(of_a + of_b, 2) /
                         (of_a * of_a / static_cast<double>(a.size() - 1) + of_b * of_b / static_cast<double>(b.size() - 1));
  return example::t_quantile(static_cast<std::size_t>(freedom + 1e-9)) * std::sqrt(of_a + of_b);
}

std::string signed_number(double value) {
  char text[48];
  std::snprintf(text, sizeof text, "%+.4f", value);
  return text;
}

std::string counted(std::size_t count, const char* one, const char* many) {
  return count == 1 ? std::string("one ") + one : std::to_string(count) + " " + many;
}

/// "mAP is higher by 0.0120 (95 % interval +0.0020 to +0.0220)".
std::string clause(const std::string& title, const Difference& difference) {
  char size[48];
  std::snprintf(size, sizeof size, "%.4f", std::abs(difference.value));
  const std::string direction = difference.value > 0 ? "higher" : "lower";
  const std::string by = difference.value == 0 ? " is the same" : " is " + direction + " by " + size;
  if (std::isnan(difference.half_width)) {
    return title + by;
  }
  const std::string interval = " (95 % interval " + signed_number(difference.value - difference.half_width) + " to " +
                               signed_number(difference.value + difference.half_width) + ")";
  return difference.is_clear() ? title + by + interval
                               : title + " is not clearly different: " + signed_number(difference.value) + interval;
}

std::string certainty(const std::string& run, const std::string& baseline, const Difference& difference) {
  if (std::isnan(difference.half_width)) {
    return "That is " + counted(difference.runs, "seed", "seeds") + " of " + run + " and " +
           counted(difference.baseline_runs, "seed", "seeds") + " of " + baseline +
           ": how far seeds lie apart is not known, so neither is whether another would say the same.";
  }
  if (difference.paired) {
    return "Intervals are of the differences between runs of the same seed, " + std::to_string(difference.runs) + " pairs.";
  }
  return "Intervals are of " + counted(difference.runs, "run", "runs") + " against " +
         counted(difference.baseline_runs, "run", "runs") + ".";
}

}  // namespace

bool Difference::is_clear() const { return std::abs(value) > half_width; }

Difference difference_of(const RunGroup& runs, const RunGroup& baseline, const std::string& figure) {
  const std::vector<double> of_runs = runs.figure(figure).values;
  const std::vector<double> of_baseline = baseline.figure(figure).values;
  const std::vector<double> a = finite(of_runs);
  const std::vector<double> b = finite(of_baseline);
  Difference out;
  out.runs = a.size();
  out.baseline_runs = b.size();
  out.value = example::mean(a) - example::mean(b);
  if (a.size() < 2 || b.size() < 2) {
    return out;
  }
  const auto seeds = by_seed(runs, of_runs);
  const auto others = by_seed(baseline, of_baseline);
  const auto same = [](const auto& x, const auto& y) { return x.first == y.first; };
  out.paired = a.size() == of_runs.size() && b.size() == of_baseline.size() && !seeds.empty() && seeds.size() == others.size() &&
               std::equal(seeds.begin(), seeds.end(), others.begin(), same);
  if (!out.paired) {
    out.half_width = welch(a, b);
    return out;
  }
  std::vector<double> differences;
  std::transform(seeds.begin(), seeds.end(), others.begin(), std::back_inserter(differences),
                 [](const auto& x, const auto& y) { return x.second - y.second; });
  out.half_width = example::interval(differences);
  return out;
}

int baseline_among(const std::vector<RunGroup>& groups, const std::string& named) {
  const auto calibrates = [](const RunRecord& run) {
    const auto none = [](const std::string& rule) { return rule == "none" || rule == "uniform"; };
    return !(none(run.facts.calibrator) && (run.facts.gate == "none" || run.facts.gate == "measure"));
  };
  int found = -1;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    const bool is_one =
        named.empty() ? std::none_of(groups[g].runs.begin(), groups[g].runs.end(), calibrates) : groups[g].name == named;
    if (is_one) {
      if (found >= 0) {
        return -1;
      }
      found = static_cast<int>(g);
    }
  }
  return groups.size() > 1 ? found : -1;
}

std::vector<std::string> outcome_sentences(const std::vector<RunGroup>& groups, int baseline) {
  if (groups.size() < 2) {
    return {"These are runs of one name: there is nothing to compare them with."};
  }
  if (baseline < 0) {
    return {"No baseline is named (--baseline NAME), so nothing is said of differences here."};
  }
  const RunGroup& others = groups[static_cast<std::size_t>(baseline)];
  std::vector<std::string> sentences;
  for (const RunGroup& group : groups) {
    std::string text;
    std::string seeds;
    for (const FigureSheet& figure : figure_sheets()) {
      const Difference difference = difference_of(group, others, figure.name);
      if (&group != &others && std::isfinite(difference.value)) {
        text += (text.empty() ? "" : "; ") + clause(figure.title, difference);
        seeds = certainty(group.name, others.name, difference);
      }
    }
    if (!text.empty()) {
      sentences.push_back(group.name + " against " + others.name + ": " + text + ". " + seeds);
    }
  }
  if (sentences.empty()) {
    sentences.push_back("No run has a figure that a run of " + others.name + " has, too: nothing can be compared.");
  }
  return sentences;
}

std::vector<int> colours_of(const std::vector<RunGroup>& groups, int baseline) {
  std::vector<int> colours;
  int next = 0;
  for (std::size_t g = 0; g < groups.size(); ++g) {
    colours.push_back(static_cast<int>(g) == baseline ? 0 : 1 + next++ % 7);
  }
  return colours;
}

}  // namespace bevfusion
