// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <torch/nn.h>

#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/tasks/sample_prediction.hpp"
#include "bevfusion/tasks/task_drawing.hpp"
#include "bevfusion/tasks/task_figures.hpp"
#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

struct DecodedQueries;
struct Kinds;
struct QueriesAsked;
struct RunConfig;

/// A sample that a task's own labels are made of. Loading threads make them.
struct LabelSource {
  const Tables& tables;
  RowIndex row;                  ///< of tables.samples
  const TrainingSample& sample;  ///< as loaded, so augmented where it is for training
};

/// A task of the model: the head it adds, what that says, its loss, its figures and its pictures. Objects are shared by all
/// networks of a program and hold nothing of any; what a head says goes from forward() to losses() and prediction() as the task
/// likes it.
///
/// A task is one file, `tasks/<name>.cpp`, with `void register_<name>(Kinds&)`, beside `tasks/<name>.hpp` with
/// `TaskSheet <name>_sheet()`, which needs no LibTorch, and a line in the list of tasks in CMakeLists.txt.
class Task {
 public:
  explicit Task(TaskSheet sheet) : sheet_(std::move(sheet)) {}
  virtual ~Task() = default;
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;

  const TaskSheet& sheet() const { return sheet_; }
  const std::string& name() const { return sheet_.name; }

  /// Refuses a config with which the task cannot be, where the model has it.
  /// @throws std::invalid_argument that names the field and says what it may be
  virtual void check(const RunConfig&, const Kinds&) const {}

  /// Refuses data to learn from that have no labels of the task, where the task knows.
  /// @throws DataError that says what is missing and what has it
  virtual void expect_data(const Tables&) const {}

  /// The head, whose parameters a checkpoint names NAME.*
  /// @param channels  of the shared representation
  virtual std::shared_ptr<torch::nn::Module> make_head(const ModelConfig& config, const Kinds& kinds,
                                                       std::int64_t channels) const = 0;
  /// What the head, made by make_head() of the same config, says of the shared representation [B, C, X, Y].
  /// @param sets  those that make_head() saw
  virtual std::any forward(torch::nn::Module& head, const torch::Tensor& shared, const ModelConfig& config,
                           const LabelSets& sets) const = 0;
  /// The same with what the car measured of itself, for a task that has measured().
  /// @param measured  [B, n], or undefined where nothing was measured
  virtual std::any forward_measured(torch::nn::Module& head, const torch::Tensor& shared, const torch::Tensor& /*measured*/,
                                    const ModelConfig& config, const LabelSets& sets) const {
    return forward(head, shared, config, sets);
  }

  /// The kind of decoder (Kinds::decoders) whose queries its head reads in the map's place; empty where it reads the map.
  /// @param asked  gets what the head needs of it
  virtual std::string decoder(const ModelConfig&, const Kinds&, QueriesAsked& /*asked*/) const { return {}; }
  /// What the head, made for that decoder's channels, says of its queries.
  virtual std::any forward_queries(torch::nn::Module&, const DecodedQueries&, const ModelConfig&, const LabelSets&) const {
    throw std::logic_error("task " + name() + " reads no decoder's queries");
  }

  /// What the car tells the head beside its sensors, such as its speed: n numbers of a sample, as many of each; undefined where
  /// the head is told nothing. Known when the sample is taken, so no label.
  virtual torch::Tensor measured(const LabelSource&) const { return {}; }
  /// Labels of a sample beside its boxes and map masks, for losses() and prediction() to find in Batch::labels under the task's
  /// name; undefined where there are none of this sample. Of all samples of one shape, or not: they are kept one by one.
  virtual torch::Tensor labels(const LabelSource&) const { return {}; }
  /// Whether a sample of the batch has labels of the task: without any, its head is not run.
  virtual bool is_labelled(const TrainingBatch& batch) const;
  /// The losses that the sheet names, without static weights; each undefined where the batch has no label of it.
  virtual std::vector<torch::Tensor> losses(torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                                            const RunConfig& config) const = 0;

  /// Distillation: how far what the head says is from what an expert's head said of the same batch. 0 where they agree; its
  /// gradient goes into `said` alone. Undefined where the task has no such measure.
  virtual torch::Tensor response(const std::any& /*said*/, const std::any& /*expert*/, const RunConfig&) const { return {}; }
  /// What the head's recurrence ends with, [B, n], with its gradient: what twin heads compare. Undefined where it has none.
  virtual torch::Tensor state(const std::any& /*said*/) const { return {}; }
  /// The tensors that `said` is made of, each with an entry a sample along its first axis: what is kept of an expert, sample by
  /// sample.
  /// @throws std::logic_error where it is no single tensor and the task does not say
  virtual std::vector<torch::Tensor*> tensors_of(std::any& said) const;

  /// What is predicted for sample b of a batch, on the CPU, as figures() and draw() take it.
  /// @param finite  set to false where an output is no finite number; there nothing is found
  virtual std::any prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig& config,
                              bool& finite) const = 0;
  /// The task's figures, of no sample yet.
  /// @param tables, config  must outlive them
  virtual std::unique_ptr<TaskFigures> figures(const Tables& tables, const RunConfig& config) const = 0;

  /// Names of its masks, each drawn from the threshold that the run's evaluation picked for it; none where it has no masks.
  virtual std::vector<std::string> mask_names(const RunConfig&) const { return {}; }
  /// Adds what the page of pictures says of the task once.
  virtual void add_legend(PictureLegend&, const PictureContext&) const {}
  /// Adds what a sample's pictures show of it.
  virtual void draw(SampleDrawing&, const SamplePrediction&, const PictureContext&) const {}

 private:
  TaskSheet sheet_;
};

/// Another way to count a task's losses: each part of them a task to the calibration, under the same head. It is registered as a
/// task is, with a sheet that names the task in `splits`; losses.tasks chooses it.
struct LossSplit {
  TaskSheet sheet;
  /// As Task::losses().
  std::function<std::vector<torch::Tensor>(torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                                           const RunConfig& config)>
      losses;
};

/// The tasks that a network may have.
class Tasks {
 public:
  /// @throws std::logic_error for a name that is taken
  void add(std::shared_ptr<const Task> task);
  void add(LossSplit split);

  /// @throws std::invalid_argument for an unknown name; it says which there are
  const std::shared_ptr<const Task>& at(const std::string& name) const;
  /// Those of a model, in order.
  /// @throws std::invalid_argument where the config has one that is not here
  std::vector<std::shared_ptr<const Task>> of(const ModelConfig& config) const;
  /// The task's losses as config.losses.tasks counts them.
  std::vector<torch::Tensor> losses(const Task& task, torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig& config) const;

 private:
  std::vector<std::shared_ptr<const Task>> tasks_;
  std::vector<LossSplit> splits_;
};

/// The head of a task as the kind that the task made.
template <class Head>
Head& head_as(torch::nn::Module& head) {
  auto* const as = dynamic_cast<Head*>(&head);
  if (as == nullptr) {
    throw std::logic_error("the head is of another kind than its task made");
  }
  return *as;
}

/// Labels that tasks add to a batch of these samples, in order, and what their heads are told beside the sensors.
void add_labels(Batch& batch, const std::vector<LabelSource>& samples, const std::vector<std::shared_ptr<const Task>>& tasks);

}  // namespace bevfusion
