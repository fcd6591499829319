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

using Numbers = NamedNumbers Detail::*;

const NamedNumbers& numbers_of(const RunRecord& run, const std::string& heading, Numbers kind) {
  static const Detail none;
  const auto found = run.details.tables.find(heading);
  return (found == run.details.tables.end() ? none : found->second).*kind;
}

Spread detail_of(const RunGroup& group, const std::string& heading, Numbers kind, const std::string& name) {
  Spread out;
  for (const RunRecord& run : group.runs) {
    out.values.push_back(number_of(numbers_of(run, heading, kind), name));
  }
  return out;
}

/// Names that any run has, in the order in which they are first met.
std::vector<std::string> names_of(const std::vector<RunGroup>& groups, const std::string& heading) {
  std::vector<std::string> names;
  for (const RunGroup& group : groups) {
    for (const RunRecord& run : group.runs) {
      for (const auto& one : numbers_of(run, heading, &Detail::values)) {
        if (std::find(names.begin(), names.end(), one.first) == names.end()) {
          names.push_back(one.first);
        }
      }
    }
  }
  return names;
}

/// "0.35" or "0.35, 0.40": those of the group's runs.
std::string thresholds_of(const RunGroup& group, const std::string& heading, const std::string& name) {
  std::set<double> picked;
  for (const double value : detail_of(group, heading, &Detail::thresholds, name).values) {
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

/// The members that a table shows, with their titles.
std::vector<std::pair<std::string, std::string>> shown(const std::vector<RunGroup>& groups, const DetailSheet& detail) {
  std::vector<std::pair<std::string, std::string>> members = detail.titles;
  if (members.empty()) {
    for (const std::string& name : names_of(groups, detail.heading)) {
      members.emplace_back(name, name);
    }
  }
  return members;
}

Better better(const DetailSheet& detail) { return detail.lower_is_better ? Better::lower : Better::higher; }

/// A row a class, a column a group.
StyledTable by_class(const std::vector<RunGroup>& groups, const DetailSheet& detail) {
  constexpr int decimals = 3;
  TableRows rows{{detail.head}};
  for (const RunGroup& group : groups) {
    rows[0].push_back(group.name);
  }
  StyledTable table(rows);
  for (const auto& [name, title] : shown(groups, detail)) {
    std::vector<std::string> row = {title};
    std::vector<double> means;
    for (const RunGroup& group : groups) {
      const Spread spread = detail_of(group, detail.heading, &Detail::values, name);
      const std::string at = thresholds_of(group, detail.heading, name);
      row.push_back(spread.text(decimals) + (at.empty() ? "" : " at " + at));
      means.push_back(spread.mean());
    }
    std::vector<bool> bold = best_of(means, better(detail), decimals);
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

/// A row a group, a column a member.
StyledTable by_group(const std::vector<RunGroup>& groups, const DetailSheet& detail) {
  constexpr int decimals = 3;
  const auto members = shown(groups, detail);
  TableRows rows{{"run"}};
  for (const auto& member : members) {
    rows[0].push_back(member.second);
  }
  if (names_of(groups, detail.heading).empty()) {
    return StyledTable(rows);
  }
  for (const RunGroup& group : groups) {
    std::vector<std::string> row = {group.name};
    for (const auto& member : members) {
      row.push_back(detail_of(group, detail.heading, &Detail::values, member.first).text(decimals));
    }
    rows.push_back(row);
  }
  StyledTable table(rows);
  for (std::size_t m = 0; m < members.size(); ++m) {
    std::vector<double> means;
    for (const RunGroup& group : groups) {
      means.push_back(detail_of(group, detail.heading, &Detail::values, members[m].first).mean());
    }
    mark(table, m + 1, means, better(detail), decimals);
  }
  return table;
}

}  // namespace

StyledTable result_table(const std::vector<RunGroup>& groups) {
  StyledTable table(result_rows(groups));
  const auto means = [&](const auto& spread_of) {
    std::vector<double> out;
    std::transform(groups.begin(), groups.end(), std::back_inserter(out),
                   [&](const RunGroup& group) { return spread_of(group).mean(); });
    return out;
  };
  std::size_t column = 2;
  for (const FigureSheet& figure : figure_sheets()) {
    mark(table, column++, means([&](const RunGroup& group) { return group.figure(figure.name); }),
         figure.lower_is_better ? Better::lower : Better::higher, 4);
  }
  mark(table, column++, means([](const RunGroup& group) { return group.deltas(); }), Better::lower, 4);
  mark(table, column, means([](const RunGroup& group) { return group.lambdas(); }), Better::higher, 4);
  return without_empty_columns(table);
}

StyledTable detail_table(const std::vector<RunGroup>& groups, const DetailSheet& detail) {
  return detail.head.empty() ? by_group(groups, detail) : by_class(groups, detail);
}

}  // namespace bevfusion
