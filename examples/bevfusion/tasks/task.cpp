// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/task.hpp"

#include <algorithm>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"

namespace bevfusion {
namespace {

template <class List>
auto find_task(const List& tasks, const std::string& name) {
  return std::find_if(tasks.begin(), tasks.end(), [&name](const auto& task) { return task->name() == name; });
}

}  // namespace

bool Task::is_labelled(const TrainingBatch& batch) const {
  switch (sheet_.labels) {
    case TaskLabels::boxes:
      return std::find(batch.boxes_labelled.begin(), batch.boxes_labelled.end(), true) != batch.boxes_labelled.end();
    case TaskLabels::map:
      return batch.batch.labelled.any().item<bool>();
    case TaskLabels::its_own:
      break;
  }
  const auto own = batch.batch.labels.find(name());
  return own != batch.batch.labels.end() &&
         std::any_of(own->second.begin(), own->second.end(), [](const torch::Tensor& of_sample) { return of_sample.defined(); });
}

std::vector<torch::Tensor*> Task::tensors_of(std::any& said) const {
  auto* const tensor = std::any_cast<torch::Tensor>(&said);
  if (tensor == nullptr) {
    throw std::logic_error("task " + name() + " says what is no single tensor, and not which tensors that is made of " +
                           "(Task::tensors_of); set distillation.cache_teachers to false");
  }
  return {tensor};
}

void Tasks::add(std::shared_ptr<const Task> task) {
  if (find_task(tasks_, task->name()) != tasks_.end()) {
    throw std::logic_error("two tasks are called '" + task->name() + "'");
  }
  tasks_.push_back(std::move(task));
}

void Tasks::add(LossSplit split) {
  const auto same = [&split](const LossSplit& other) { return other.sheet.name == split.sheet.name; };
  if (std::any_of(splits_.begin(), splits_.end(), same)) {
    throw std::logic_error("two ways to split losses are called '" + split.sheet.name + "'");
  }
  splits_.push_back(std::move(split));
}

const std::shared_ptr<const Task>& Tasks::at(const std::string& name) const {
  const auto found = find_task(tasks_, name);
  if (found == tasks_.end()) {
    std::string known;
    for (const auto& task : tasks_) {
      known += (known.empty() ? "" : ", ") + task->name();
    }
    throw std::invalid_argument("there is no task '" + name + "'; there are: " + known);
  }
  return *found;
}

std::vector<std::shared_ptr<const Task>> Tasks::of(const ModelConfig& config) const {
  std::vector<std::shared_ptr<const Task>> chosen;
  for (const TaskSheet& sheet : config.parts.tasks.chosen()) {
    chosen.push_back(at(sheet.name));
  }
  return chosen;
}

std::vector<torch::Tensor> Tasks::losses(const Task& task, torch::nn::Module& head, const std::any& said,
                                         const TrainingBatch& batch, const RunConfig& config) const {
  for (const LossSplit& split : splits_) {
    if (split.sheet.name == config.losses.tasks && split.sheet.splits == task.name()) {
      return split.losses(head, said, batch, config);
    }
  }
  return task.losses(head, said, batch, config);
}

void add_labels(Batch& batch, const std::vector<LabelSource>& samples, const std::vector<std::shared_ptr<const Task>>& tasks) {
  for (const auto& task : tasks) {
    std::vector<torch::Tensor> labels;
    for (const LabelSource& sample : samples) {
      labels.push_back(task->labels(sample));
    }
    if (std::any_of(labels.begin(), labels.end(), [](const torch::Tensor& of_sample) { return of_sample.defined(); })) {
      batch.labels[task->name()] = std::move(labels);
    }
    std::vector<torch::Tensor> measured;
    for (const LabelSource& sample : samples) {
      measured.push_back(task->measured(sample));
    }
    if (!measured.empty() && measured.front().defined()) {
      batch.input.measured[task->name()] = torch::stack(measured);
    }
  }
}

}  // namespace bevfusion
