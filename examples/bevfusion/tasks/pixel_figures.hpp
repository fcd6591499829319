// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <torch/types.h>

#include "bevfusion/tasks/task_figures.hpp"
#include "bevfusion/tasks/task_sheet.hpp"

namespace bevfusion {

/// What is predicted of the pixels of a sample's pictures.
struct PixelPrediction {
  torch::Tensor predicted;  ///< [cameras, H, W] byte: the class of the largest output
  torch::Tensor truth;      ///< the same with no_pixel_class; undefined where nothing is labelled
};

/// IoU of classes over the labelled pixels of a whole set: TP / (TP + FP + FN) of a class that some pixel shows, and their mean.
class PixelFigures : public TaskFigures {
 public:
  /// @param sheet  whose first figure is the mean IoU
  PixelFigures(TaskSheet sheet, std::vector<std::string> names);

  void add(const SamplePrediction& prediction) override;
  std::optional<std::string> given() const override;
  void take(const std::string& bytes) override;
  std::vector<std::pair<std::string, double>> headline() const override;
  void add_details(nlohmann::ordered_json& out) const override;
  std::string text() const override;

  /// Pixels of class `truth` that were called `predicted`.
  std::uint64_t count(std::size_t truth, std::size_t predicted) const { return counts_[truth * names_.size() + predicted]; }
  /// NaN of a class that no labelled pixel shows.
  double iou(std::size_t pixel_class) const;

 private:
  std::uint64_t shown(std::size_t pixel_class) const;

  TaskSheet sheet_;
  std::vector<std::string> names_;
  std::vector<std::uint64_t> counts_;
};

}  // namespace bevfusion
