// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <torch/torch.h>

#include "../support/cifar100.hpp"
#include "../support/garments.hpp"

namespace example {

constexpr int tasks = 20;

/// Pictures, and for each task what they show. In a set of one label each, a picture carries the label of one task only.
struct TaskData {
  torch::Tensor images;  ///< N x C x H x W, uint8
  torch::Tensor labels;  ///< N, int64
  torch::Tensor task;    ///< N, int64: whose label it is; undefined: ten tasks read the picture, ten its mirror image
  int answers = 2;       ///< classes of a task: labels are 0 to answers - 1 where each picture carries one

  std::int64_t size() const { return images.size(0); }
  TaskData part(const torch::Tensor& rows) const {
    return {images.index_select(0, rows), labels.index_select(0, rows), task.defined() ? task.index_select(0, rows) : task,
            answers};
  }
  TaskData first(std::int64_t count) const { return part(torch::arange(std::min(count, size()))); }
};

/// A batch as a network takes it: pictures, and for each task which of them carry its label, the task's mask as a list.
struct TaskBatch {
  torch::Tensor images;                ///< rows x C x H x W, float, 0 to 1
  std::vector<torch::Tensor> rows;     ///< of each task, int64, maybe none
  std::vector<torch::Tensor> targets;  ///< of those, int64, 0 to answers - 1
};

inline TaskBatch make_batch(const TaskData& data) {
  TaskBatch batch;
  batch.images = data.images.to(torch::kFloat32).div_(255);
  if (data.task.defined()) {
    for (int task = 0; task < tasks; ++task) {
      batch.rows.push_back((data.task == task).nonzero().flatten());
      batch.targets.push_back(data.labels.index_select(0, batch.rows.back()));
    }
    return batch;
  }
  batch.images = torch::cat({batch.images, batch.images.flip({3})});
  for (int task = 0; task < tasks; ++task) {
    const std::int64_t side = task / 10;
    batch.rows.push_back(torch::arange(side * data.size(), (side + 1) * data.size()));
    batch.targets.push_back((data.labels == task % 10).to(torch::kInt64));
  }
  return batch;
}

/// Task i of the first ten: is this a garment of class i? Of the last ten: the same of the picture seen in a mirror.
inline std::vector<std::string> garment_task_names() {
  std::vector<std::string> names;
  for (const std::string suffix : {"", " mirrored"}) {
    for (const char* name : garment_names) {
      names.push_back(name + suffix);
    }
  }
  return names;
}

/// The ten garments against the rest, and their mirror images.
/// @param one_each  whether a picture carries the label of one task only, drawn for it; half of them are then mirror images
inline TaskData garment_tasks(const Garments& garments, bool one_each) {
  TaskData data{garments.images.unsqueeze(1), garments.labels, {}, 2};
  if (one_each) {
    auto generator = at::detail::createCPUGenerator(20);
    data.task = torch::randint(tasks, {data.size()}, generator, torch::kInt64);
    const auto mirrored = (data.task >= 10).view({-1, 1, 1, 1});
    data.images = torch::where(mirrored, data.images.flip({3}), data.images);
    data.labels = (data.labels == data.task.remainder(10)).to(torch::kInt64);
  }
  return data;
}

/// The superclasses of CIFAR-100: which of five classes does a picture show, of which the superclass is known?
inline TaskData cifar100_tasks(const std::string& file) {
  Cifar100 read = read_cifar100(file);
  const auto count = static_cast<std::int64_t>(read.size());
  std::vector<std::int64_t> places, superclasses;
  for (std::size_t i = 0; i < read.size(); ++i) {
    places.push_back(cifar100_place_of(read.fine[i]));
    superclasses.push_back(read.coarse[i]);
  }
  return {torch::from_blob(read.pixels.data(), {count, 3, 32, 32}, torch::kUInt8).clone(), torch::tensor(places),
          torch::tensor(superclasses), 5};
}

/// The two parts of a data set, and what its tasks are called.
struct TaskSet {
  TaskData train, test;
  std::vector<std::string> names;
  bool cifar100;
};

inline bool holds_cifar100(const std::string& folder) {
  return !find_cifar100(folder, "train.bin").empty() || !find_cifar100(folder, "test.bin").empty();
}

/// @throws std::runtime_error naming the file where something is missing or wrong
inline TaskSet load_tasks(const std::string& folder, bool one_each) {
  if (!holds_cifar100(folder)) {
    return {garment_tasks(load_garments(folder, "train"), one_each), garment_tasks(load_garments(folder, "t10k"), false),
            garment_task_names(), false};
  }
  const auto file = [&](const std::string& name) {
    const std::string path = find_cifar100(folder, name);
    if (path.empty()) {
      throw std::runtime_error(folder + " holds one of CIFAR-100's two files, but no " + name +
                               "; both are in cifar-100-binary.tar.gz");
    }
    return path;
  };
  return {cifar100_tasks(file("train.bin")),
          cifar100_tasks(file("test.bin")),
          {cifar100_superclasses.begin(), cifar100_superclasses.end()},
          true};
}

}  // namespace example
