// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/distillation/distiller.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/distillation/feature_distance.hpp"
#include "bevfusion/model/part_draws.hpp"
#include "bevfusion/tasks/picture_task.hpp"
#include "bevfusion/training/weights_archive.hpp"

namespace bevfusion {
namespace {

ModelInput sample_of(const ModelInput& input, std::int64_t b) {
  ModelInput one = input;
  if (!input.clouds.empty()) {
    one.clouds = {input.clouds.at(static_cast<std::size_t>(b))};
  }
  for (torch::Tensor* tensor : {&one.images, &one.geometry.intrinsics, &one.geometry.camera_to_lidar,
                                &one.geometry.image_augmentation, &one.geometry.lidar_augmentation}) {
    if (tensor->defined()) {
      *tensor = tensor->narrow(0, b, 1);
    }
  }
  for (auto& of_task : one.measured) {
    of_task.second = of_task.second.narrow(0, b, 1);
  }
  return one;
}

std::string named(const std::string& task, const char* what) { return task + "_" + what; }

/// What a head said of several batches, as of one.
std::any together(const Task& task, std::vector<std::any> said) {
  std::any out = said.front();
  const std::vector<torch::Tensor*> into = task.tensors_of(out);
  std::vector<std::vector<torch::Tensor>> parts(into.size());
  for (std::any& one : said) {
    const std::vector<torch::Tensor*> from = task.tensors_of(one);
    for (std::size_t k = 0; k < into.size(); ++k) {
      parts[k].push_back(*from.at(k));
    }
  }
  for (std::size_t k = 0; k < into.size(); ++k) {
    *into[k] = torch::cat(parts[k]);
  }
  return out;
}

std::size_t bytes_of(const Task& task, TeacherAnswer& answer) {
  std::size_t bytes = answer.shared.defined() ? answer.shared.nbytes() : 0;
  for (const torch::Tensor* tensor : task.tensors_of(answer.said)) {
    bytes += tensor->nbytes();
  }
  return bytes;
}

/// The shared representation of one of the tasks.
const torch::Tensor& shared_for(const std::vector<torch::Tensor>& shared, std::size_t task) {
  return shared.size() == 1 ? shared.front() : shared.at(task);
}

}  // namespace

Distiller::Distiller(const BevFusion& tower, const RunConfig& config, const Teaching& teaching)
    : config_(config), tasks_(tower->tasks()) {
  const auto named_as = [](const std::string& task) { return [&task](const auto& one) { return one->task() == task; }; };
  for (std::size_t i = 0; i < tasks_.size(); ++i) {
    const std::string& task = tasks_[i]->name();
    const auto twin = std::find_if(teaching.twins.begin(), teaching.twins.end(), named_as(task));
    if (twin != teaching.twins.end()) {
      twins_.push_back({i, *twin});
    }
    const auto found = std::find_if(teaching.teachers.begin(), teaching.teachers.end(), named_as(task));
    if (found == teaching.teachers.end()) {
      continue;
    }
    Lesson lesson;
    lesson.task = i;
    lesson.teacher = *found;
    if (config.distillation.features > 0 && as_picture_task(*tasks_[i]) == nullptr) {  // it reads no shared map
      begin_draws({config.training.seed}, task + " adapter");
      lesson.adapter =
          torch::nn::Conv2d(torch::nn::Conv2dOptions(tower->shared_channels(), lesson.teacher->channels(), 1).bias(false));
      lesson.adapter->to(torch::Device(config.training.device));
    }
    lessons_.push_back(std::move(lesson));
  }
}

TeacherAnswer Distiller::answer(Lesson& lesson, const ModelInput& input, const TrainingBatch& batch) {
  const DistillationConfig& distillation = config_.distillation;
  const Task& task = *tasks_[lesson.task];
  if (!distillation.cache_teachers) {
    return lesson.teacher->answer(input);
  }
  // One by one, so that a sample's answer does not hang on what it is in a batch with, in its last bits either.
  std::vector<torch::Tensor> shared;
  std::vector<std::any> said;
  for (std::size_t b = 0; b < batch.rows.size(); ++b) {
    const auto known = lesson.cached.find(batch.rows[b]);
    TeacherAnswer one =
        known != lesson.cached.end() ? known->second : lesson.teacher->answer(sample_of(input, static_cast<std::int64_t>(b)));
    if (known == lesson.cached.end()) {
      if (!lesson.adapter) {
        one.shared = torch::Tensor();
      }
      const std::size_t bytes = bytes_of(task, one);
      if (cached_bytes_ + bytes <= static_cast<std::size_t>(distillation.cache_mib) << 20U) {
        cached_bytes_ += bytes;
        lesson.cached.emplace(batch.rows[b], one);
      }
    }
    shared.push_back(one.shared);
    said.push_back(one.said);
  }
  return {lesson.adapter ? torch::cat(shared) : torch::Tensor(), together(task, std::move(said))};
}

Outputs Distiller::twin_outputs(const Outputs& outputs, const std::vector<torch::Tensor>& shared, const ModelInput& input,
                                const TrainingBatch& batch) const {
  Outputs said;
  for (const Twin& twin : twins_) {
    if (outputs.count(twin.head->task()) > 0) {
      said[twin.head->task()] = twin.head->say(shared_for(shared, twin.task), input, batch);
    }
  }
  return said;
}

std::vector<torch::Tensor> Distiller::twin_losses(const Outputs& twins, const TrainingBatch& batch) const {
  std::vector<torch::Tensor> losses(tasks_.size());
  for (const Twin& twin : twins_) {
    const auto said = twins.find(twin.head->task());
    if (said != twins.end()) {
      losses[twin.task] = twin.head->loss(said->second, batch);
    }
  }
  return losses;
}

torch::Tensor Distiller::term_of(Lesson& lesson, const Outputs& outputs, const std::vector<torch::Tensor>& shared,
                                 const ModelInput& input, const TrainingBatch& batch) {
  const DistillationConfig& distillation = config_.distillation;
  const double ramp = distillation_ramp(distillation.ramp, batch.epoch);
  const Task& task = *tasks_[lesson.task];
  const auto said = outputs.find(task.name());
  if (said == outputs.end()) {
    return {};
  }
  const TeacherAnswer known = answer(lesson, input, batch);
  torch::Tensor term;
  const auto add = [&term](double weight, const torch::Tensor& more) {
    if (more.defined() && weight > 0) {
      term = term.defined() ? term + weight * more : weight * more;
    }
  };
  if (distillation.response > 0) {
    add(distillation.response * ramp, task.response(said->second, known.said, config_));
  }
  if (lesson.adapter) {
    add(distillation.features * ramp, feature_distance(lesson.adapter->forward(shared_for(shared, lesson.task).to(torch::kFloat)),
                                                       known.shared.to(torch::kFloat), distillation.feature_distance));
  }
  return term;
}

std::vector<torch::Tensor> Distiller::terms(const Outputs& outputs, const Outputs& twins,
                                            const std::vector<torch::Tensor>& shared, const ModelInput& input,
                                            const TrainingBatch& batch) {
  std::vector<torch::Tensor> terms(tasks_.size());
  for (Lesson& lesson : lessons_) {
    terms[lesson.task] = term_of(lesson, outputs, shared, input, batch);
  }
  for (const Twin& twin : twins_) {
    const auto said = twins.find(twin.head->task());
    const torch::Tensor between =
        said == twins.end() ? torch::Tensor() : twin.head->distance(outputs.at(twin.head->task()), said->second);
    terms[twin.task] = between.defined() ? distillation_ramp(config_.distillation.ramp, batch.epoch) * between : between;
  }
  return terms;
}

std::vector<torch::Tensor> Distiller::parameters() const {
  std::vector<torch::Tensor> parameters;
  for (const Lesson& lesson : lessons_) {
    if (lesson.adapter) {
      parameters.push_back(lesson.adapter->weight);
    }
  }
  for (const Twin& twin : twins_) {
    const std::vector<torch::Tensor> own = twin.head->module().parameters();
    parameters.insert(parameters.end(), own.begin(), own.end());
  }
  return parameters;
}

void Distiller::save(torch::serialize::OutputArchive& archive) const {
  for (const Lesson& lesson : lessons_) {
    const std::string& task = lesson.teacher->task();
    if (const auto checksum = lesson.teacher->checksum()) {
      archive.write(named(task, "teacher"), torch::tensor(static_cast<std::int64_t>(*checksum), torch::kLong));
    }
    if (lesson.adapter) {
      archive.write(named(task, "adapter"), lesson.adapter->weight);
    }
  }
  for (const Twin& twin : twins_) {
    torch::serialize::OutputArchive tensors(archive.compilation_unit());
    write_weights(tensors, twin.head->module());
    archive.write(named(twin.head->task(), "twin"), tensors);
  }
}

void Distiller::load(torch::serialize::InputArchive& archive) {
  const torch::NoGradGuard no_grad;
  for (const Lesson& lesson : lessons_) {
    const std::string& task = lesson.teacher->task();
    torch::Tensor saved;
    if (const auto checksum = lesson.teacher->checksum();
        checksum && (!archive.try_read(named(task, "teacher"), saved) ||
                     saved.item<std::int64_t>() != static_cast<std::int64_t>(*checksum))) {
      throw std::runtime_error("the teacher of " + task +
                               " has other weights than when the run began (it was trained on, or is another run); a run goes on "
                               "with the teachers that it began with");
    }
    if (lesson.adapter) {
      torch::Tensor weight;
      archive.read(named(task, "adapter"), weight);
      lesson.adapter->weight.copy_(weight);
    }
  }
  for (const Twin& twin : twins_) {
    torch::serialize::InputArchive tensors;
    archive.read(named(twin.head->task(), "twin"), tensors);
    read_weights(tensors, twin.head->module());
  }
}

}  // namespace bevfusion
