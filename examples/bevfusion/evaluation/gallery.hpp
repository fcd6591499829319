// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/evaluation/mask_thresholds.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/tasks/task_drawing.hpp"
#include "support/page.hpp"

namespace bevfusion {

/// How predictions are drawn.
struct GalleryOptions {
  std::filesystem::path out;  ///< folder of the page and the pictures; exists
  std::string title;
  double least_score = 0.15;  ///< boxes below it are left out
  MaskThresholds thresholds;  ///< 0.5 of masks that have none here
  std::string beside;         ///< who else's findings are drawn between truth and prediction, "the teachers"; empty: nobody's
  MaskThresholds beside_thresholds;
  int width = 640;  ///< pixels of a view's side and of a camera picture's width
};

/// Names of the masks of a model's tasks, whose thresholds the pictures need.
MaskNames mask_names(const RunConfig& config, const Tasks& tasks = kinds().tasks);

/// Draws samples beside the truth and lists them on a page, in the conventions of the figures: boxes stand as they are submitted
/// and as they are annotated, those that nuScenes does not evaluate are grey, masks are cut off at the evaluation's thresholds,
/// classes of the map that are not labelled are left out. Legend and pictures are painted from one table of colours.
class Gallery {
 public:
  /// @param tables, config  must outlive this
  /// @param kinds  the tasks that the config may name
  Gallery(GalleryOptions options, const Tables& tables, const RunConfig& config, const Kinds& kinds = bevfusion::kinds());

  /// Writes the sample's pictures.
  /// @param other  what is found beside it, by the tasks that it has; nullptr: nothing
  /// @throws DataError, std::runtime_error for files that cannot be read or written
  void add(const SamplePrediction& prediction, const SamplePrediction* other = nullptr);

  /// Writes index.html.
  /// @throws std::runtime_error where it cannot be written
  void write() const;

 private:
  SampleDrawing drawing_of(const SamplePrediction& prediction, const PictureContext& context) const;
  /// Boxes found above the annotated ones, and ways likewise.
  static std::vector<DrawnBox> over_annotated(const SampleDrawing& drawing, Colour colour);
  static std::vector<DrawnPath> ways(const SampleDrawing& drawing);
  void add_cameras(const KeyFrame& frame, const SampleDrawing& drawing, const std::string& file, const std::string& alternative);
  void draw_annotations(SampleDrawing& drawing, const SamplePrediction& prediction) const;
  void write_legend();
  std::string picture(const std::string& name, const std::string& alternative) const;

  GalleryOptions options_;
  PictureContext context_, beside_;
  std::vector<std::shared_ptr<const Task>> tasks_;
  example::Page page_;
};

}  // namespace bevfusion
