// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

namespace bevfusion {

/// A figure that a task is judged by.
struct FigureSheet {
  std::string name;   ///< in evaluation.json, log.jsonl, event files and report.json
  std::string title;  ///< in tables and on pages
  bool lower_is_better = false;
  bool share = true;  ///< of 0 ... 1, which charts show in percent

  /// For charts: the title with its unit, and what a value is multiplied by.
  std::string charted() const { return title + (share ? ", %" : ""); }
  double scale() const { return share ? 100 : 1; }
};

/// Which annotations of a sample a task learns from: whether there are any of a sample is known by kind (data.labels).
enum class TaskLabels { boxes, map, its_own };

/// A number that a task takes from the config: the field tasks.TASK.NAME.
struct NumberSheet {
  std::string name;
  double otherwise = 0;  ///< where the config does not say
  double least = 0;
  double most = 0;
  std::string help;
};

/// Figures by class, or by whatever else has names, of an evaluation.json: a section of the report.
struct DetailSheet {
  std::string heading;
  std::string text;               ///< below it
  std::vector<std::string> path;  ///< of the object in evaluation.json whose members they are
  std::string value;              ///< key of the figure in a member; the member itself where empty
  std::string threshold;          ///< key of the threshold that is named beside it; none where empty
  std::string head;               ///< over the names; where empty, each run has a row and each name a column
  /// Names of the members that are shown, with their titles; all that are there, untitled, where empty.
  std::vector<std::pair<std::string, std::string>> titles;
  bool lower_is_better = false;
};

/// What is known of a task without its network: what configs, logs and reports need.
struct TaskSheet {
  std::string name;    ///< in configs, checkpoints, logs and reports; the file's name without .hpp
  std::string called;  ///< in sentences
  bool on = false;     ///< in a config that does not say
  std::string help;    ///< of the field model.parts.NAME
  std::string weight_help;
  std::string weight_alias;  ///< a short option for losses.NAME_weight; none where empty
  TaskLabels labels = TaskLabels::its_own;
  std::vector<NumberSheet> numbers = {};
  std::vector<FigureSheet> figures = {};
  std::vector<DetailSheet> details = {};
  /// What its losses are called, each a task to the calibration; the task's own name, for one loss, where empty.
  std::vector<std::string> losses = {};
  /// Another task, whose head, labels and figures it has, and whose losses it parts: chosen by losses.tasks in that one's place.
  std::string splits = {};

  std::vector<std::string> loss_names() const { return losses.empty() ? std::vector<std::string>{name} : losses; }
};

/// The sheets of the list of tasks in CMakeLists.txt, in its order.
const std::vector<TaskSheet>& task_sheets();

/// Those that are tasks of their own and split no other's loss.
std::vector<TaskSheet> head_sheets();

/// The figures of all tasks, in order.
std::vector<FigureSheet> figure_sheets();

}  // namespace bevfusion
