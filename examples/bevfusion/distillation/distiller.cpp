// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/distillation/distiller.hpp"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/distillation/feature_distance.hpp"
#include "bevfusion/model/part_draws.hpp"

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

std::size_t bytes_of(const Task& task, ExpertAnswer& answer) {
  std::size_t bytes = answer.shared.defined() ? answer.shared.nbytes() : 0;
  for (const torch::Tensor* tensor : task.tensors_of(answer.said)) {
    bytes += tensor->nbytes();
  }
  return bytes;
}

}  // namespace

Distiller::Distiller(const BevFusion& tower, const RunConfig& config, const Experts& experts) : config_(config) {
  for (std::size_t i = 0; i < tower->tasks().size(); ++i) {
    const std::string& task = tower->tasks()[i]->name();
    const auto of_task = [&task](const std::shared_ptr<Expert>& expert) { return expert->task() == task; };
    const auto found = std::find_if(experts.begin(), experts.end(), of_task);
    if (found == experts.end()) {
      continue;
    }
    Lesson lesson;
    lesson.task = i;
    lesson.expert = *found;
    if (config.distillation.features > 0) {
      begin_draws({config.training.seed}, task + " adapter");
      lesson.adapter =
          torch::nn::Conv2d(torch::nn::Conv2dOptions(tower->shared_channels(), lesson.expert->channels(), 1).bias(false));
      lesson.adapter->to(torch::Device(config.training.device));
    }
    lessons_.push_back(std::move(lesson));
  }
}

ExpertAnswer Distiller::answer(Lesson& lesson, const Task& task, const ModelInput& input, const TrainingBatch& batch) {
  const DistillationConfig& distillation = config_.distillation;
  if (!distillation.cache_teachers) {
    return lesson.expert->answer(input);
  }
  // One by one, so that a sample's answer does not hang on what it is in a batch with, in its last bits either.
  std::vector<torch::Tensor> shared;
  std::vector<std::any> said;
  for (std::size_t b = 0; b < batch.rows.size(); ++b) {
    const auto known = lesson.cached.find(batch.rows[b]);
    ExpertAnswer one =
        known != lesson.cached.end() ? known->second : lesson.expert->answer(sample_of(input, static_cast<std::int64_t>(b)));
    if (known == lesson.cached.end()) {
      if (distillation.features == 0) {
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
  return {distillation.features > 0 ? torch::cat(shared) : torch::Tensor(), together(task, std::move(said))};
}

std::vector<torch::Tensor> Distiller::terms(const BevFusion& tower, const Outputs& outputs,
                                            const std::vector<torch::Tensor>& shared, const ModelInput& input,
                                            const TrainingBatch& batch) {
  const DistillationConfig& distillation = config_.distillation;
  const double ramp = distillation_ramp(distillation.ramp, batch.epoch);
  std::vector<torch::Tensor> terms(tower->tasks().size());
  for (Lesson& lesson : lessons_) {
    const Task& task = *tower->tasks()[lesson.task];
    const auto said = outputs.find(task.name());
    if (said == outputs.end()) {
      continue;
    }
    const ExpertAnswer expert = answer(lesson, task, input, batch);
    torch::Tensor term;
    const auto add = [&term](double weight, const torch::Tensor& more) {
      if (more.defined() && weight > 0) {
        term = term.defined() ? term + weight * more : weight * more;
      }
    };
    if (distillation.response > 0) {
      add(distillation.response * ramp, task.response(said->second, expert.said, config_));
    }
    if (lesson.adapter) {
      const torch::Tensor& z = shared.size() == 1 ? shared.front() : shared.at(lesson.task);
      add(distillation.features * ramp, feature_distance(lesson.adapter->forward(z.to(torch::kFloat)),
                                                         expert.shared.to(torch::kFloat), distillation.feature_distance));
    }
    terms[lesson.task] = term;
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
  return parameters;
}

void Distiller::save(torch::serialize::OutputArchive& archive) const {
  for (const Lesson& lesson : lessons_) {
    archive.write(named(lesson.expert->task(), "teacher"),
                  torch::tensor(static_cast<std::int64_t>(lesson.expert->checksum()), torch::kLong));
    if (lesson.adapter) {
      archive.write(named(lesson.expert->task(), "adapter"), lesson.adapter->weight);
    }
  }
}

void Distiller::load(torch::serialize::InputArchive& archive) {
  const torch::NoGradGuard no_grad;
  for (const Lesson& lesson : lessons_) {
    const std::string& task = lesson.expert->task();
    torch::Tensor checksum;
    if (!archive.try_read(named(task, "teacher"), checksum) ||
        checksum.item<std::int64_t>() != static_cast<std::int64_t>(lesson.expert->checksum())) {
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
}

}  // namespace bevfusion
