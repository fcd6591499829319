// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/evaluation/mask_thresholds.hpp"
#include "bevfusion/evaluation/predict.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/pictures/drawn_box.hpp"
#include "support/page.hpp"

namespace bevfusion {

/// How predictions are drawn.
struct GalleryOptions {
  std::filesystem::path out;  ///< folder of the page and the pictures; exists
  std::string title;
  double least_score = 0.15;  ///< boxes below it are left out
  MaskThresholds thresholds;
  int width = 640;  ///< pixels of a view's side and of a camera picture's width
};

/// Draws samples beside the truth and lists them on a page, in the conventions of the figures: boxes stand as they are submitted
/// and as they are annotated, those that nuScenes does not evaluate are grey, masks are cut off at the evaluation's thresholds,
/// classes of the map that are not labelled are left out. Legend and pictures are painted from one table of colours.
class Gallery {
 public:
  /// @param tables, config  must outlive this
  Gallery(GalleryOptions options, const Tables& tables, const RunConfig& config);

  /// Writes the sample's pictures.
  /// @throws DataError, std::runtime_error for files that cannot be read or written
  void add(const SamplePrediction& prediction);

  /// Writes index.html.
  /// @throws std::runtime_error where it cannot be written
  void write() const;

 private:
  struct Boxes {
    std::vector<DrawnBox> boxes;
    std::size_t counted = 0;
  };
  Boxes true_boxes(const SamplePrediction& prediction) const;
  Boxes predicted_boxes(const SamplePrediction& prediction) const;
  void write_legend();
  std::string picture(const std::string& name, const std::string& alternative) const;

  GalleryOptions options_;
  const Tables& tables_;
  const RunConfig& config_;
  std::vector<std::string> foreground_names_;
  example::Page page_;
};

}  // namespace bevfusion
