// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/figures_table.hpp"

#include <algorithm>

#include "bevfusion/tasks/figure_text.hpp"
#include "bevfusion/tasks/task_sheet.hpp"
#include "support/text_table.hpp"

namespace bevfusion {

std::string figures_text(const EvaluationFigures& figures) {
  std::string text = std::to_string(figures.samples) + " samples\n";
  if (figures.not_finite > 0) {
    text += "In " + std::to_string(figures.not_finite) + " of them an output was no number, and counts as nothing found.\n";
  }
  for (const auto& task : figures.tasks) {
    text += "\n" + task.second->text();
  }
  return text;
}

std::string headline_table(const std::vector<std::pair<std::string, EvaluationFigures>>& named) {
  std::vector<FigureSheet> shown = figure_sheets();
  const auto has = [](const EvaluationFigures& figures, const FigureSheet& figure) {
    return std::any_of(figures.tasks.begin(), figures.tasks.end(), [&figure](const auto& task) {
      const auto own = task.second->headline();
      return std::any_of(own.begin(), own.end(), [&figure](const auto& one) { return one.first == figure.name; });
    });
  };
  shown.erase(std::remove_if(shown.begin(), shown.end(),
                             [&](const FigureSheet& figure) {
                               return std::none_of(named.begin(), named.end(),
                                                   [&](const auto& one) { return has(one.second, figure); });
                             }),
              shown.end());
  std::vector<std::vector<std::string>> rows{{"sensors"}};
  for (const FigureSheet& figure : shown) {
    rows[0].push_back(figure.title);
  }
  for (const auto& [name, figures] : named) {
    std::vector<std::pair<std::string, double>> all;
    for (const auto& task : figures.tasks) {
      const auto own = task.second->headline();
      all.insert(all.end(), own.begin(), own.end());
    }
    std::vector<std::string> row = {name};
    for (const FigureSheet& figure : shown) {
      const auto found = std::find_if(all.begin(), all.end(), [&](const auto& one) { return one.first == figure.name; });
      row.push_back(found == all.end() ? "-" : figure_text(found->second, 4));
    }
    rows.push_back(row);
  }
  return example::text_table(rows);
}

}  // namespace bevfusion
