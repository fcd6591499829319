// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "bevfusion/evaluation/mask_thresholds.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/channel.hpp"
#include "bevfusion/nuscenes/tables.hpp"
#include "bevfusion/pictures/drawn_box.hpp"
#include "bevfusion/pictures/drawn_path.hpp"
#include "bevfusion/pictures/grey_image.hpp"
#include "bevfusion/pictures/picture_colours.hpp"

namespace bevfusion {

struct RunConfig;

/// What pictures are drawn by.
struct PictureContext {
  const Tables& tables;
  const RunConfig& config;
  double least_score = 0.15;  ///< boxes below it are left out
  MaskThresholds thresholds;  ///< of every mask of every task
};

/// The legend of a page of pictures.
struct PictureLegend {
  std::string swatches;                ///< HTML, see swatch()
  std::vector<std::string> sentences;  ///< each once, plain text

  void say(const std::string& sentence) {
    if (std::find(sentences.begin(), sentences.end(), sentence) == sentences.end()) {
      sentences.push_back(sentence);
    }
  }
};

/// A picture of a task's own: two views from above, what is annotated and what is predicted.
struct OwnPicture {
  std::string name;         ///< the end of its file's name, without .png
  std::string alternative;  ///< text that stands for it
  MapMasks annotated, predicted;
  MapGrid grid;
};

/// Classes of pixels, painted over the pictures as the network gets them.
struct PaintedPictures {
  std::string name;                                          ///< the end of its file's name, without .png
  std::string alternative;                                   ///< text that stands for it
  std::array<GreyImage, camera_count> annotated, predicted;  ///< in the order of Channel; empty where not known
  std::vector<Colour> colours;                               ///< of the classes
};

/// What the pictures of one sample show.
struct SampleDrawing {
  std::string caption;                    ///< HTML, sentences
  MapMasks annotated, predicted;          ///< areas from above, over the loader's grid; none where cells is 0
  std::vector<DrawnBox> annotated_boxes;  ///< there before tasks draw
  std::size_t counted = 0;                ///< of them, those that figures count; the others are grey
  std::vector<DrawnBox> predicted_boxes;
  std::vector<DrawnPath> driven, planned;  ///< ways of the car, the second to the right and in the pictures alone
  std::vector<OwnPicture> own;
  std::vector<PaintedPictures> painted;
};

/// A coloured square with text, HTML.
std::string swatch(Colour colour, const std::string& text);

/// "0.40"
std::string two_decimals(double value);

}  // namespace bevfusion
