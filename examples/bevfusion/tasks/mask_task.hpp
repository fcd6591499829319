// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <any>
#include <memory>
#include <string>
#include <vector>

#include "bevfusion/tasks/mask_figures.hpp"
#include "bevfusion/tasks/task.hpp"

namespace bevfusion {

/// A task of masks in bird's-eye view, over ModelConfig::segmentation.mask: a head of model.segmentation_head, the focal loss,
/// IoU. What is left to the task is what its masks are.
class MaskTask : public Task {
 public:
  using Task::Task;

  void check(const RunConfig& config, const Kinds& kinds) const override;
  std::shared_ptr<torch::nn::Module> make_head(const ModelConfig& config, const Kinds& kinds,
                                               std::int64_t channels) const override;
  std::any forward(torch::nn::Module& head, const torch::Tensor& shared, const ModelConfig& config,
                   const LabelSets& sets) const override;
  std::string decoder(const ModelConfig& config, const Kinds& kinds, QueriesAsked& asked) const override;
  std::any forward_queries(torch::nn::Module& head, const DecodedQueries& queries, const ModelConfig& config,
                           const LabelSets& sets) const override;
  std::vector<torch::Tensor> losses(torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                                    const RunConfig& config) const override;
  torch::Tensor response(const std::any& said, const std::any& expert, const RunConfig& config) const override;
  std::any prediction(const std::any& said, std::int64_t b, const Batch& batch, const RunConfig& config,
                      bool& finite) const override;
  std::unique_ptr<TaskFigures> figures(const Tables& tables, const RunConfig& config) const override;
  std::vector<std::string> mask_names(const RunConfig& config) const override = 0;
  void add_legend(PictureLegend& legend, const PictureContext& context) const override;

 protected:
  struct Truth {
    torch::Tensor masks;     ///< [B, masks, X, Y], 0 or 1; of one sample without B
    torch::Tensor labelled;  ///< [B, masks] bool; of one sample [masks], or undefined where all are
  };
  /// Its masks, in the head's outputs.
  virtual std::int64_t mask_count(const ModelConfig& config, const LabelSets& sets) const = 0;
  virtual Truth truth(const TrainingBatch& batch, const RunConfig& config) const = 0;
  /// Of sample b in an evaluation.
  virtual Truth evaluated_truth(const Batch& batch, std::int64_t b, std::int64_t masks, const RunConfig& config) const = 0;
  /// The masks as a map's labels, for their colours.
  virtual MapLabels painted(const RunConfig& config) const = 0;
  /// What stands before a mask's name in the legend.
  virtual std::string legend_prefix() const { return ""; }
};

/// Masks as pictures take them.
/// @param values    [labels, X, Y], 0 or 1; nothing where undefined
/// @param labelled  [labels] bool; all where undefined
MapMasks masks_of(const MapLabels& labels, const torch::Tensor& values, const torch::Tensor& labelled);

/// Cells that reach their mask's threshold, in single precision as the evaluation compares them.
torch::Tensor reaching(const torch::Tensor& probabilities, const std::vector<MaskThreshold>& thresholds);

}  // namespace bevfusion
