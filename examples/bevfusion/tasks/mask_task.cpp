// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/mask_task.hpp"

#include <cstdint>

#include <torch/torch.h>

#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/distillation/responses.hpp"
#include "bevfusion/heads/segmentation_head.hpp"
#include "bevfusion/losses/segmentation_loss.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/tasks/shared_decoder.hpp"

namespace bevfusion {
namespace {

/// "drivable_area, from 0.40".
std::string with_threshold(const std::string& name, const MaskThreshold& threshold) {
  return name + ", from " + two_decimals(static_cast<double>(threshold.value)) + (threshold.picked ? "" : " (not picked)");
}

}  // namespace

void MaskTask::check(const RunConfig& config, const Kinds& kinds) const {
  check_shared_decoder(config, kinds);
  const ModelConfig& model = config.model;
  if (model.segmentation_head != "fuller_seg") {
    return;
  }
  const FullerSegOptions& options = model.segmentation;
  require(options.channels % options.heads == 0 && options.channels % 4 == 0, "model.segmentation.channels is ", options.channels,
          "; a multiple of 4 and of model.segmentation.heads (", options.heads, ") is needed");
  require(options.kernel % 2 == 1, "model.segmentation.kernel is ", options.kernel, "; an odd number is needed");
  require(alike(options.map_range, model.bev_range), "model.segmentation.map_range is ", options.map_range, ", model.bev_range ",
          model.bev_range, "; they have to be equal");
}

std::shared_ptr<torch::nn::Module> MaskTask::make_head(const ModelConfig& config, const Kinds& kinds,
                                                       std::int64_t channels) const {
  return kinds.segmentation_heads.make(config.segmentation_head, config, channels, mask_count(config, kinds.labels));
}

std::any MaskTask::forward(torch::nn::Module& head, const torch::Tensor& shared, const ModelConfig&, const LabelSets&) const {
  return head_as<SegmentationHead>(head).forward(shared);
}

std::string MaskTask::decoder(const ModelConfig& config, const Kinds& kinds, QueriesAsked& asked) const {
  if (!kinds.decoders.has(config.segmentation_head)) {
    return {};
  }
  asked.patches = true;
  return config.segmentation_head;
}

std::any MaskTask::forward_queries(torch::nn::Module& head, const DecodedQueries& queries, const ModelConfig&,
                                   const LabelSets&) const {
  return head_as<QuerySegmentationHead>(head).forward_queries(queries);
}

std::vector<torch::Tensor> MaskTask::losses(torch::nn::Module&, const std::any& said, const TrainingBatch& batch,
                                            const RunConfig& config) const {
  const auto& logits = std::any_cast<const torch::Tensor&>(said);
  const Truth known = truth(batch, config);
  return {segmentation_loss(logits, known.masks.to(logits.device()), known.labelled, config.losses.segmentation_focal,
                            config.losses.mask_reduction)};
}

torch::Tensor MaskTask::response(const std::any& said, const std::any& expert, const RunConfig&) const {
  return mask_response(std::any_cast<const torch::Tensor&>(said), std::any_cast<const torch::Tensor&>(expert));
}

std::any MaskTask::prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig& config,
                              bool& finite) const {
  const auto& logits = std::any_cast<const torch::Tensor&>(said);
  const Truth known = evaluated_truth(batch, b, logits.size(1), config);
  const torch::Tensor probability = logits[b].to(torch::kFloat).sigmoid().to(torch::kCPU).contiguous();
  finite = finite && torch::isfinite(probability).all().item<bool>();
  return MaskPrediction{torch::nan_to_num(probability), known.masks, known.labelled};
}

std::unique_ptr<TaskFigures> MaskTask::figures(const Tables&, const RunConfig& config) const {
  return std::make_unique<MaskFigures>(sheet(), mask_names(config));
}

void MaskTask::add_legend(PictureLegend& legend, const PictureContext& context) const {
  const MapLabels labels = painted(context.config);
  const std::vector<MaskThreshold>& thresholds = context.thresholds.at(name());
  for (std::size_t m = 0; m < labels.size(); ++m) {
    legend.swatches += swatch(map_colour(labels[m]), legend_prefix() + with_threshold(labels[m].name, thresholds.at(m)));
  }
  legend.say(
      "A cell is painted from the probability that is named with its class: where one was picked, the threshold that the run's "
      "evaluation found best. Classes that a sample does not label are left out.");
}

MapMasks masks_of(const MapLabels& labels, const torch::Tensor& values, const torch::Tensor& labelled) {
  MapMasks out(labels);
  if (!values.defined()) {
    return out;
  }
  torch::Tensor bytes = values.to(torch::kByte);
  if (labelled.defined()) {
    bytes = bytes * labelled.to(torch::kByte).view({-1, 1, 1});
  }
  bytes = bytes.contiguous();
  out.cells = static_cast<int>(bytes.size(1));
  out.values.assign(bytes.data_ptr<std::uint8_t>(), bytes.data_ptr<std::uint8_t>() + bytes.numel());
  for (std::size_t c = 0; c < out.labels.size(); ++c) {
    out.labelled[c] = !labelled.defined() || labelled[static_cast<std::int64_t>(c)].item<bool>();
  }
  return out;
}

torch::Tensor reaching(const torch::Tensor& probabilities, const std::vector<MaskThreshold>& thresholds) {
  if (!probabilities.defined()) {
    return {};
  }
  std::vector<float> values;
  for (const MaskThreshold& threshold : thresholds) {
    values.push_back(threshold.value);
  }
  return probabilities.ge(torch::tensor(values).view({-1, 1, 1}));
}

}  // namespace bevfusion
