// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/heads/centerpoint_groups.hpp"
#include "bevfusion/heads/detection_head.hpp"
#include "bevfusion/losses/centre_loss.hpp"
#include "bevfusion/matching/box_coder.hpp"
#include "bevfusion/model/blocks.hpp"

namespace bevfusion {

struct ModelConfig;

/// CenterPoint's head. Defaults: BEVFusion's for nuScenes.
struct CenterPointOptions {
  std::int64_t inputs = 512;
  std::int64_t channels = 64;  ///< of the convolution that all branches read
  std::int64_t branch = 64;    ///< hidden channels of each branch
  /// Bias that the heat maps start with; see FullerDetOptions.
  double score_bias = -2.19;
  std::vector<CenterPointGroup> groups;
  BevGrid grid;
  CentreLimits limits;             ///< boxes beyond are not predicted, and suppress none
  std::int64_t candidates = 500;   ///< surest cells of a group that are looked at
  double least_score = 0.1;        ///< which a predicted box is above
  std::size_t most_boxes = 83;     ///< of a group and sample that stay
  std::size_t most_objects = 500;  ///< annotations of a group and sample that are learnt from, the first ones
  /// 0: of boxes within a circle (CenterPointGroup::min_radius) the surest stays, as in CenterPoint. Else of boxes whose
  /// footprints overlap by more than this intersection over union; BEVFusion's configuration has 0.2.
  double overlap = 0;
};

/// The options of a config's head: widths from model.detection, the rest from model.numbers, as centerpoint.NAME=value with NAME
/// one of channels (model.detection.branch unless given), candidates, least_score, most_boxes, most_objects, overlap, and
/// min_radius.LABEL, which is the group's in which the label is (the largest, where several are given).
/// @param names  of the labels, output by output
/// @throws std::invalid_argument for a number out of range
CenterPointOptions centerpoint_options(const ModelConfig& config, std::int64_t inputs, const std::vector<std::string>& names);

/// What a group of classes is told of at every cell: two convolutions for each of six outputs.
class CenterBranchesImpl : public torch::nn::Module {
 public:
  CenterBranchesImpl(std::int64_t inputs, std::int64_t hidden, std::int64_t classes, double score_bias);

  /// @return logits [B, classes, X, Y], and codes [B, 10, X, Y] whose place is that within the cell
  std::pair<torch::Tensor, torch::Tensor> forward(const torch::Tensor& features);

 private:
  std::vector<torch::nn::Sequential> codes_;  ///< place within the cell, height, size, heading, velocity
  torch::nn::Sequential heat_{nullptr};
};
TORCH_MODULE(CenterBranches);

/// Detection at centres (CenterPoint): a box at every cell for each group of classes, whose heat map says where one is.
///
/// Its Detections have a query for each group and cell, query g X Y + i Y + j, of the class that the group's heat map is surest
/// of there; the score is that map's probability. In evaluation mode a group's candidates are thinned out: by score, by limits,
/// and so that an object has one box; all other queries are taken back (query_score -1). Several classes of a group at one cell
/// are one candidate, the surest, where the published head has each: it has them at the same place, where one alone is left.
///
/// Last layers start as LibTorch has them, as Fuller-det's do.
class CenterPointImpl : public DetectionHead {
 public:
  explicit CenterPointImpl(CenterPointOptions options);

  /// @param shared  [B, inputs, X, Y]
  Detections forward(const torch::Tensor& shared) override;

  /// centre_loss() of the head's groups.
  DetectionLosses loss(const Detections& said, const std::vector<std::vector<Box3D>>& truth, const BoxCoder& coder,
                       const DetectionLossOptions& options) const override;

 private:
  /// The queries whose boxes stay: [B, Q], 1 for them and -1 elsewhere.
  torch::Tensor kept(const Detections& said) const;
  std::vector<std::size_t> thinned_out(const CenterPointGroup& group, const std::vector<Box3D>& boxes) const;

  CenterPointOptions options_;
  OutputGroups outputs_;
  ConvBlock shared_{nullptr};
  std::vector<CenterBranches> groups_;
};
TORCH_MODULE(CenterPoint);

}  // namespace bevfusion
