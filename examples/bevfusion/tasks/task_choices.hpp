// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// A task that a config knows, and whether the model has it.
struct TaskChoice {
  TaskSheet sheet;
  bool on = false;
  std::map<std::string, double> numbers;  ///< by the sheet's names
};

/// The tasks that a config knows: those of the list, in its order, and what a program adds.
class TaskChoices {
 public:
  TaskChoices();

  /// @throws std::logic_error for a name that is taken
  void add(const TaskSheet& sheet, bool on);

  /// Whether the model has the task; false for an unknown one.
  bool has(const std::string& task) const;
  /// The same, to be set.
  /// @throws std::invalid_argument for an unknown task; it says which there are
  bool& operator[](const std::string& task);
  /// Leaves no task but this one.
  void keep_only(const std::string& task);

  /// A number of a task, as chosen.
  /// @throws std::invalid_argument for one that the task's sheet does not name
  double number(const std::string& task, const std::string& name) const;

  /// The sheets of the tasks that the model has.
  std::vector<TaskSheet> chosen() const;
  /// What stands for a task to the calibration: the sheet that splits its losses, where `split` names that, else its own.
  const TaskSheet& judged(const TaskSheet& task, const std::string& split) const;

  std::vector<TaskChoice>& all() { return choices_; }
  const std::vector<TaskChoice>& all() const { return choices_; }
  /// Names of those that are tasks of their own: "detection, segmentation, foreground".
  std::string names(const std::string& last = ", ") const;

 private:
  std::vector<TaskChoice> choices_;
};

}  // namespace bevfusion
