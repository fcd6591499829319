// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "bevfusion/metrics/map_iou.hpp"
#include "bevfusion/tasks/task_figures.hpp"
#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// What is predicted of a task's masks.
struct MaskPrediction {
  torch::Tensor probability;  ///< [masks, X, Y] float; 0 where there is no number
  torch::Tensor truth;        ///< [masks, X, Y], 0 or 1
  torch::Tensor labelled;     ///< [masks] bool; all where undefined
};

/// BEVFusion's figures of masks.
class MaskFigures : public TaskFigures {
 public:
  /// @param sheet  whose first figure is the mean IoU
  MaskFigures(TaskSheet sheet, std::vector<std::string> names);

  void add(const SamplePrediction& prediction) override;
  std::optional<std::string> given() const override;
  void take(const std::string& bytes) override;
  std::vector<std::pair<std::string, double>> headline() const override;
  void add_details(nlohmann::ordered_json& out) const override;
  std::string text() const override;
  /// Of how many masks the mean is, where not all are labelled.
  std::string remark() const override;

  const MapIou& protocol() const { return protocol_; }
  /// At thresholds 0.20, 0.25, 0.30, below the protocol's. They enter no mIoU, but a mask whose IoU is larger here than there is
  /// one that the network is too unsure of.
  const MapIou& below() const { return below_; }
  const std::vector<std::string>& names() const { return names_; }

 private:
  TaskSheet sheet_;
  std::vector<std::string> names_;
  MapIou protocol_;
  MapIou below_;
};

}  // namespace bevfusion
