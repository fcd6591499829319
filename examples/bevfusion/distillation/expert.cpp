// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/distillation/expert.hpp"

#include <algorithm>
#include <filesystem>
#include <initializer_list>
#include <stdexcept>
#include <tuple>
#include <utility>
#include <vector>

#include <torch/torch.h>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/teacher_list.hpp"
#include "bevfusion/training/checkpoint.hpp"
#include "bevfusion/training/divided_batch.hpp"

namespace bevfusion {
namespace {

/// Fields that say what a network sees and where, as far as an expert of the task has to agree in them.
std::vector<std::string> shared_fields(const TaskSheet& task, const RunConfig& expert) {
  std::vector<std::string> fields = {"model.bev_range", "model.bev_cell"};
  const auto add = [&fields](std::initializer_list<const char*> more) { fields.insert(fields.end(), more.begin(), more.end()); };
  if (expert.model.parts.lidar) {
    add({"data.lidar", "loading.sweeps", "loading.points.close", "loading.points.close_in_key_frame", "loading.points.beams"});
  }
  if (expert.model.parts.camera) {
    add({"data.cameras", "model.lift_splat.image_height", "model.lift_splat.image_width"});
  }
  if (task.name != "detection") {
    add({"model.segmentation.mask.range", "model.segmentation.mask.cells"});
  }
  if (task.name == "foreground") {
    add({"model.foreground_masks"});
  }
  if (task.labels == TaskLabels::boxes) {
    add({"model.detection_label_set", "model.detection_classes"});
  }
  if (task.labels == TaskLabels::map) {
    add({"model.map_label_set", "model.map_classes"});
  }
  return fields;
}

void expect_fitting(const std::string& task, const RunConfig& config, const RunConfig& expert) {
  const TaskChoices& tasks = expert.model.parts.tasks;
  if (!tasks.has(task)) {
    std::string there;
    for (const TaskSheet& one : tasks.chosen()) {
      there += (there.empty() ? "" : ", ") + one.name;
    }
    throw std::invalid_argument("the run has no task '" + task + "'; it has " + there);
  }
  for (const auto& [sensor, has, needs] : {std::tuple("lidar", config.model.parts.lidar, expert.model.parts.lidar),
                                           std::tuple("camera", config.model.parts.camera, expert.model.parts.camera)}) {
    if (needs && !has) {
      throw std::invalid_argument("the run sees by " + std::string(sensor) + ", which is not loaded here (model.parts." + sensor +
                                  " is off)");
    }
  }
  const std::vector<TaskSheet> sheets = tasks.chosen();
  const auto sheet = std::find_if(sheets.begin(), sheets.end(), [&task](const TaskSheet& one) { return one.name == task; });
  const std::vector<std::string> shared = shared_fields(*sheet, expert);
  std::string other;
  for (const std::string& field : differences(config, expert)) {
    if (std::find(shared.begin(), shared.end(), field) != shared.end()) {
      other += (other.empty() ? "" : ", ") + field;
    }
  }
  if (!other.empty()) {
    throw std::invalid_argument("the run has other values of " + other +
                                ", in which a teacher has to agree; train it with this run's, or this run with its");
  }
}

}  // namespace

TrainedRun load_run_of_task(const std::string& task, const std::string& run, const RunConfig& config, const Kinds& kinds) {
  const std::string named = task + "=" + run + ": ";
  try {
    const std::filesystem::path folder = run;
    TrainedRun other;
    other.config = read_run_config(folder);
    expect_fitting(task, config, other.config);
    other.config.training.device = config.training.device;
    const std::filesystem::path checkpoint = folder / "checkpoint.pt";
    if (!std::filesystem::exists(checkpoint)) {
      throw std::invalid_argument("the run has no checkpoint.pt yet; it has to be trained first");
    }
    other.network = Network(other.config.model, kinds);
    try {
      load_network(checkpoint, other.network);
    } catch (const std::runtime_error& error) {
      throw std::runtime_error(std::string(error.what()) +
                               ". A checkpoint is read by a LibTorch of at least the version that wrote it");
    }
    other.network->to(torch::Device(config.training.device));
    return other;
  } catch (const std::invalid_argument& error) {
    throw std::invalid_argument(named + error.what());
  } catch (const std::runtime_error& error) {
    throw std::runtime_error(named + error.what());
  }
}

Expert::Expert(std::string task, Network network)
    : task_(std::move(task)), network_(std::move(network)), checksum_(checksum_of_weights(network_)) {
  for (const BevFusion& tower : network_->towers()) {
    for (const auto& one : tower->tasks()) {
      if (one->name() == task_) {
        tower_ = tower;
      }
    }
  }
  if (!tower_) {
    throw std::invalid_argument("the network has no task '" + task_ + "' to teach");
  }
  network_->eval();
  for (torch::Tensor& parameter : network_->parameters()) {
    parameter.set_requires_grad(false);
  }
}

TeacherAnswer Expert::answer(const ModelInput& input) {
  const torch::NoGradGuard no_grad;
  TeacherAnswer out;
  std::vector<torch::Tensor> pictures;
  const std::vector<torch::Tensor> maps = tower_->branches(input, {}, &pictures);
  const SharedFeatures shared = tower_->share(maps, std::move(pictures));
  out.shared = shared.bev;
  out.said = tower_->say(task_, shared, input.measured_for(task_));
  return out;
}

Teachers load_experts(const RunConfig& config, const Kinds& kinds) {
  Teachers experts;
  for (const auto& [task, run] : teachers_in(config.distillation.teachers)) {
    TrainedRun trained = load_run_of_task(task, run, config, kinds);
    if (task == "detection" && trained.config.model.detection_head == "centerpoint" && config.distillation.response > 0) {
      throw std::invalid_argument(
          "detection=" + run +
          ": the run's model.detection_head is centerpoint, which has no queries whose boxes could be matched; set "
          "distillation.response to 0, so that its features alone teach, or name a run with fuller_det");
    }
    experts.push_back(std::make_shared<Expert>(task, std::move(trained.network)));
  }
  return experts;
}

}  // namespace bevfusion
