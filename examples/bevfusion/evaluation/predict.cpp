// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/predict.hpp"

#include <algorithm>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/loading/prefetcher.hpp"
#include "bevfusion/model/autocast.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/on_device.hpp"

namespace bevfusion {
namespace {

/// Evaluation mode for as long as the object lives; afterwards every module, frozen ones too, is in the mode it was in.
class EvaluationMode {
 public:
  explicit EvaluationMode(torch::nn::Module& network) : network_(network) {
    for (const auto& module : network.modules(/*include_self=*/false)) {
      modes_.emplace_back(module, module->is_training());
    }
    was_training_ = network.is_training();
    network.eval();
  }
  ~EvaluationMode() {
    network_.train(was_training_);
    // Parents come before their children, whose own mode so has the last word.
    for (const auto& [module, training] : modes_) {
      module->train(training);
    }
  }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  torch::nn::Module& network_;
  std::vector<std::pair<std::shared_ptr<torch::nn::Module>, bool>> modes_;
  bool was_training_ = false;
};

void expect_modality(const NetworkImpl& network, const std::string& modality) {
  if (!network.has_modality(modality)) {
    throw std::invalid_argument("the network has no modality branch '" + modality + "' to leave out");
  }
}

}  // namespace

void predict(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
             const std::function<void(const SamplePrediction&)>& take, const SensorFailure& failure) {
  const torch::NoGradGuard no_grad;
  const EvaluationMode mode(*network);
  const torch::Device device(config.training.device);
  const std::vector<std::shared_ptr<const Task>> tasks = network->tasks();
  LoadingOptions loading = config.loading;
  loading.augment = false;
  loading.points.beams = std::min(loading.points.beams, failure.beams);
  const SampleLoader loader(tables, loading);
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(1, config.training.batch));
  Prefetcher<Batch> batches(0, (samples.size() + size - 1) / size, config.data.threads,
                            static_cast<std::size_t>(std::max(1, config.data.ahead)), [&](std::size_t index) {
                              std::vector<TrainingSample> loaded;
                              for (std::size_t i = index * size; i < std::min(samples.size(), (index + 1) * size); ++i) {
                                loaded.push_back(loader.load(samples[i], 0));
                              }
                              Batch batch = collate(loaded);
                              std::vector<LabelSource> sources;
                              for (std::size_t k = 0; k < loaded.size(); ++k) {
                                sources.push_back({tables, samples[index * size + k], loaded[k]});
                              }
                              add_labels(batch, sources, tasks);
                              return batch;
                            });
  std::size_t done = 0;
  while (auto batch = batches.next()) {
    Outputs outputs;
    {
      const Autocast precision(device, config.training.precision);
      ModelInput input = on_device(std::move(batch->input), device);
      for (const std::size_t camera : failure.cameras) {
        input = without_camera(std::move(input), camera);
      }
      const bool maps = failure.missing == Missing::maps;
      for (const std::string& modality : maps ? std::vector<std::string>() : failure.modalities) {
        expect_modality(*network, modality);
        input = without_input(std::move(input), modality);
      }
      outputs = network->forward(input, maps ? failure.modalities : std::vector<std::string>());
    }
    for (std::size_t i = 0; i < batch->boxes.size(); ++i) {
      const auto b = static_cast<std::int64_t>(i);
      SamplePrediction one;
      one.sample = samples[done++];
      for (const auto& task : tasks) {
        one.said[task->name()] = task->prediction(outputs.at(task->name()), b, *batch, config, one.finite);
      }
      one.truth = std::move(batch->boxes[i]);
      one.masks = batch->masks[b];
      one.labelled = batch->labelled[b];
      take(one);
    }
  }
}

}  // namespace bevfusion
