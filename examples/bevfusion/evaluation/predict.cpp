// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/predict.hpp"

#include <algorithm>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/loading/prefetcher.hpp"
#include "bevfusion/losses/foreground_target.hpp"
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

bool is_finite(const torch::Tensor& values) { return torch::isfinite(values).all().item<bool>(); }

/// Probabilities of sample b on the CPU, 0 where there is no number; undefined for undefined logits.
torch::Tensor probabilities(const torch::Tensor& logits, std::int64_t b, bool& finite) {
  if (!logits.defined()) {
    return {};
  }
  const torch::Tensor of_sample = logits[b].to(torch::kFloat).sigmoid().to(torch::kCPU).contiguous();
  finite = finite && is_finite(of_sample);
  return torch::nan_to_num(of_sample);
}

bool is_finite(const Detections& detections, std::int64_t b) {
  const auto all = {detections.class_logits, detections.centre,   detections.height,     detections.size,
                    detections.heading,      detections.velocity, detections.query_score};
  return std::all_of(all.begin(), all.end(), [b](const torch::Tensor& values) { return is_finite(values[b]); });
}

void expect_modality(const NetworkImpl& network, const std::string& modality) {
  for (const BevFusion& tower : network.towers()) {
    const auto& names = tower->modalities();
    if (std::find(names.begin(), names.end(), modality) == names.end()) {
      throw std::invalid_argument("the network has no modality branch '" + modality + "' to leave out");
    }
  }
}

/// Annotations that no sensor hit are no truth here, as in detection.
torch::Tensor foreground_truth(const std::vector<Box3D>& boxes, const Outputs& outputs, const RunConfig& config,
                               const ModelConfig& model) {
  if (!outputs.foreground.defined()) {
    return {};
  }
  std::vector<Box3D> seen;
  std::copy_if(boxes.begin(), boxes.end(), std::back_inserter(seen),
               [](const Box3D& box) { return box.lidar_points + box.radar_points > 0; });
  return foreground_target({seen}, outputs.foreground.size(1), model.segmentation.mask, config.loading.box_labels)[0];
}

}  // namespace

void predict(Network& network, const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config,
             const std::vector<std::string>& without, const std::function<void(const SamplePrediction&)>& take, Missing missing) {
  const torch::NoGradGuard no_grad;
  const EvaluationMode mode(*network);
  const torch::Device device(config.training.device);
  const BoxCoder coder{network->config().bev_grid()};
  LoadingOptions loading = config.loading;
  loading.augment = false;
  const SampleLoader loader(tables, loading);
  const auto size = static_cast<std::size_t>(std::max<std::int64_t>(1, config.training.batch));
  Prefetcher<Batch> batches(0, (samples.size() + size - 1) / size, config.data.threads,
                            static_cast<std::size_t>(std::max(1, config.data.ahead)), [&](std::size_t index) {
                              std::vector<TrainingSample> loaded;
                              for (std::size_t i = index * size; i < std::min(samples.size(), (index + 1) * size); ++i) {
                                loaded.push_back(loader.load(samples[i], 0));
                              }
                              return collate(loaded);
                            });
  std::size_t done = 0;
  while (auto batch = batches.next()) {
    Outputs outputs;
    {
      const Autocast precision(device, config.training.precision);
      ModelInput input = on_device(std::move(batch->input), device);
      if (missing == Missing::inputs) {
        for (const std::string& modality : without) {
          expect_modality(*network, modality);
          input = without_input(std::move(input), modality);
        }
      }
      outputs = network->forward(input, missing == Missing::maps ? without : std::vector<std::string>());
    }
    if (outputs.segmentation.defined() && outputs.segmentation.size(1) != batch->masks.size(1)) {
      throw std::invalid_argument("the network has " + std::to_string(outputs.segmentation.size(1)) + " map outputs, and " +
                                  std::to_string(batch->masks.size(1)) + " labels of the map are loaded");
    }
    for (std::size_t i = 0; i < batch->boxes.size(); ++i) {
      const auto b = static_cast<std::int64_t>(i);
      SamplePrediction one;
      one.sample = samples[done++];
      if (outputs.detections) {
        one.finite = is_finite(*outputs.detections, b);
        one.boxes = scored_boxes(*outputs.detections, b, coder, network->config().centre_limits);
      }
      one.segmentation = probabilities(outputs.segmentation, b, one.finite);
      one.foreground = probabilities(outputs.foreground, b, one.finite);
      one.foreground_truth = foreground_truth(batch->boxes[i], outputs, config, network->config());
      one.truth = std::move(batch->boxes[i]);
      one.masks = batch->masks[b];
      one.labelled = batch->labelled[b];
      take(one);
    }
  }
}

}  // namespace bevfusion
