// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/task_sheet.hpp"

#include <algorithm>
#include <iterator>

namespace bevfusion {

std::vector<TaskSheet> head_sheets() {
  std::vector<TaskSheet> heads;
  std::copy_if(task_sheets().begin(), task_sheets().end(), std::back_inserter(heads),
               [](const TaskSheet& sheet) { return sheet.splits.empty(); });
  return heads;
}

std::vector<FigureSheet> figure_sheets() {
  std::vector<FigureSheet> figures;
  for (const TaskSheet& sheet : task_sheets()) {
    figures.insert(figures.end(), sheet.figures.begin(), sheet.figures.end());
  }
  return figures;
}

}  // namespace bevfusion
