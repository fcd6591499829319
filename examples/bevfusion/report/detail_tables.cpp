// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/report/detail_tables.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace bevfusion {
namespace {

using Numbers = NamedNumbers EvaluationDetails::*;

Spread detail_of(const RunGroup& group, Numbers kind, const std::string& name) {
  Spread out;
  for (const RunRecord& run : group.runs) {
    out.values.push_back(number_of(run.details.*kind, name));
  }
  return out;
}

/// Names of a kind that any run has, in the order in which they are first met.
std::vector<std::string> names_of(const std::vector<RunGroup>& groups, Numbers kind) {
  std::vector<std::string> names;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const auto& one : run.details.*kind) {
        if (std::find(names.begin(), names.end(), one.first) == names.end()) {
          names.push_back(one.first);
        }
      }
    }
  }
  return names;
}

/// "0.35" or "0.35, 0.40": those of the group's runs.
std::string thresholds_of(const RunGroup& group, Numbers kind, const std::string& name) {
  std::set<double> picked;
  for (const double value : detail_of(group, kind, name).values) {
    if (std::isfinite(value)) {
      picked.insert(value);
    }
  }
  std::string text;
  for (const double value : picked) {
    text += (text.empty() ? "" : ", ") + Spread{{value}}.text(2);
  }
  return text;
}

/// A row a class, a column a group.
StyledTable by_class(const std::vector<RunGroup>& groups, Numbers kind, const std::string& head, Numbers thresholds) {
  constexpr int decimals = 3;
  TableRows rows{{head}};
  for (const RunGroup& group : groups) {
    rows[0].push_back(group.name);
  }
  StyledTable table(rows);
  for (const std::string& name : names_of(groups, kind)) {
    std::vector<std::string> row = {name};
    std::vector<double> means;
    for (const RunGroup& group : groups) {
      const Spread spread = detail_of(group, kind, name);
      const std::string at = thresholds == nullptr ? "" : thresholds_of(group, thresholds, name);
      row.push_back(spread.text(decimals) + (at.empty() ? "" : " at " + at));
      means.push_back(spread.mean());
    }
    std::vector<bool> bold = best_of(means, Better::higher, decimals);
    bold.insert(bold.begin(), false);
    table.rows.push_back(row);
    table.bold.push_back(bold);
  }
  return table;
}

/// Sets the best of a column in bold, of values by group.
void mark(StyledTable& table, std::size_t column, const std::vector<double>& values, Better better, int decimals) {
  const std::vector<bool> best = best_of(values, better, decimals);
  for (std::size_t g = 0; g < best.size(); ++g) {
    table.bold[g + 1][column] = best[g];
  }
}

}  // namespace

StyledTable result_table(const std::vector<RunGroup>& groups) {
  constexpr const char* figures[] = {"mAP", "NDS", "mIoU", "foreground_mIoU"};
  StyledTable table(result_rows(groups));
  const auto means = [&](const auto& spread_of) {
    std::vector<double> out;
    std::transform(groups.begin(), groups.end(), std::back_inserter(out),
                   [&](const RunGroup& group) { return spread_of(group).mean(); });
    return out;
  };
  std::size_t column = 2;
  for (const std::string figure : figures) {
    mark(table, column++, means([&](const RunGroup& group) { return group.figure(figure); }), Better::higher, 4);
  }
  mark(table, column++, means([](const RunGroup& group) { return group.deltas(); }), Better::lower, 4);
  mark(table, column, means([](const RunGroup& group) { return group.lambdas(); }), Better::higher, 4);
  return without_empty_columns(table);
}

StyledTable class_ap_table(const std::vector<RunGroup>& groups) {
  return by_class(groups, &EvaluationDetails::class_ap, "AP of", nullptr);
}

StyledTable error_table(const std::vector<RunGroup>& groups) {
  constexpr std::pair<const char*, const char*> errors[] = {{"trans_err", "translation, m"},
                                                            {"scale_err", "scale, 1 - IoU"},
                                                            {"orient_err", "orientation, rad"},
                                                            {"vel_err", "velocity, m/s"},
                                                            {"attr_err", "attribute, 1 - accuracy"}};
  constexpr int decimals = 3;
  TableRows rows{{"run"}};
  for (const auto& error : errors) {
    rows[0].emplace_back(error.second);
  }
  if (names_of(groups, &EvaluationDetails::errors).empty()) {
    return StyledTable(rows);
  }
  for (const RunGroup& group : groups) {
    std::vector<std::string> row = {group.name};
    for (const auto& error : errors) {
      row.push_back(detail_of(group, &EvaluationDetails::errors, error.first).text(decimals));
    }
    rows.push_back(row);
  }
  StyledTable table(rows);
  for (std::size_t e = 0; e < std::size(errors); ++e) {
    std::vector<double> means;
    for (const RunGroup& group : groups) {
      means.push_back(detail_of(group, &EvaluationDetails::errors, errors[e].first).mean());
    }
    mark(table, e + 1, means, Better::lower, decimals);
  }
  return table;
}

StyledTable map_iou_table(const std::vector<RunGroup>& groups) {
  return by_class(groups, &EvaluationDetails::map_iou, "IoU of", &EvaluationDetails::map_threshold);
}

StyledTable foreground_iou_table(const std::vector<RunGroup>& groups) {
  return by_class(groups, &EvaluationDetails::foreground_iou, "IoU of", &EvaluationDetails::foreground_threshold);
}

}  // namespace bevfusion
