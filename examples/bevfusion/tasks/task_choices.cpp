// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/task_choices.hpp"

#include <algorithm>
#include <stdexcept>

namespace bevfusion {
namespace {

template <class Choices>
auto find_task(Choices& choices, const std::string& name) {
  return std::find_if(choices.begin(), choices.end(), [&name](const TaskChoice& choice) { return choice.sheet.name == name; });
}

}  // namespace

TaskChoices::TaskChoices() {
  for (const TaskSheet& sheet : task_sheets()) {
    add(sheet, sheet.on);
  }
}

void TaskChoices::add(const TaskSheet& sheet, bool on) {
  if (find_task(choices_, sheet.name) != choices_.end()) {
    throw std::logic_error("two tasks are called '" + sheet.name + "'");
  }
  TaskChoice choice{sheet, on && sheet.splits.empty(), {}};
  for (const NumberSheet& number : sheet.numbers) {
    choice.numbers[number.name] = number.otherwise;
  }
  choices_.push_back(choice);
}

bool TaskChoices::has(const std::string& task) const {
  const auto found = find_task(choices_, task);
  return found != choices_.end() && found->on;
}

bool& TaskChoices::operator[](const std::string& task) {
  const auto found = find_task(choices_, task);
  if (found == choices_.end() || !found->sheet.splits.empty()) {
    throw std::invalid_argument("there is no task '" + task + "'; there are: " + names());
  }
  return found->on;
}

void TaskChoices::keep_only(const std::string& task) {
  for (TaskChoice& choice : choices_) {
    choice.on = choice.on && choice.sheet.name == task;
  }
}

double TaskChoices::number(const std::string& task, const std::string& name) const {
  const auto found = find_task(choices_, task);
  const auto number = found == choices_.end() ? std::map<std::string, double>::const_iterator() : found->numbers.find(name);
  if (found == choices_.end() || number == found->numbers.end()) {
    throw std::invalid_argument("tasks." + task + "." + name + ": the sheet of no task names it");
  }
  return number->second;
}

std::vector<TaskSheet> TaskChoices::chosen() const {
  std::vector<TaskSheet> sheets;
  for (const TaskChoice& choice : choices_) {
    if (choice.on) {
      sheets.push_back(choice.sheet);
    }
  }
  return sheets;
}

const TaskSheet& TaskChoices::judged(const TaskSheet& task, const std::string& split) const {
  const auto found = find_task(choices_, split);
  return found != choices_.end() && found->sheet.splits == task.name ? found->sheet : task;
}

std::string TaskChoices::names(const std::string& last) const {
  std::vector<std::string> own;
  for (const TaskChoice& choice : choices_) {
    if (choice.sheet.splits.empty()) {
      own.push_back(choice.sheet.name);
    }
  }
  std::string text;
  for (std::size_t i = 0; i < own.size(); ++i) {
    text += (i == 0 ? "" : i + 1 == own.size() ? last : ", ") + own[i];
  }
  return text;
}

}  // namespace bevfusion
