// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/gallery.hpp"

#include <algorithm>
#include <utility>

#include "bevfusion/evaluation/counted_boxes.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/pictures/prediction_picture.hpp"

namespace bevfusion {
namespace {

/// The beginning of a sample's token for a file's name; a token may hold any letters, those of paths as well.
std::string file_name_part(const Token& token) {
  std::string name = to_string(token).substr(0, 8);
  for (char& c : name) {
    const bool plain = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-';
    c = plain ? c : '_';
  }
  return name;
}

/// Where in its scene a sample is, from 1.
int place_in_scene(const Tables& tables, RowIndex sample) {
  int place = 1;
  for (RowIndex at = tables.samples.at(static_cast<std::size_t>(sample)).previous; at >= 0;
       at = tables.samples.at(static_cast<std::size_t>(at)).previous) {
    ++place;
  }
  return place;
}

}  // namespace

MaskNames mask_names(const RunConfig& config, const Tasks& tasks) {
  MaskNames names;
  for (const auto& task : tasks.of(config.model)) {
    names[task->name()] = task->mask_names(config);
  }
  return names;
}

Gallery::Gallery(GalleryOptions options, const Tables& tables, const RunConfig& config, const Kinds& kinds)
    : options_(std::move(options)),
      context_{tables, config, options_.least_score, options_.thresholds},
      tasks_(kinds.tasks.of(config.model)),
      page_(options_.title) {
  for (const auto& task : tasks_) {
    context_.thresholds[task->name()].resize(task->mask_names(config).size());
  }
  write_legend();
}

void Gallery::write_legend() {
  page_.raw(
      "<style>main { max-width: 100rem; } .scene img { max-width: 100%; height: auto; display: block; margin: .4rem 0; }"
      " .legend i { display: inline-block; width: .85em; height: .85em; border: 1px solid var(--soft); vertical-align: -.08em; }"
      "</style>\n<p class=\"legend\">");
  PictureLegend legend;
  for (const auto& task : tasks_) {
    task->add_legend(legend, context_);
  }
  page_.raw(legend.swatches + "</p>\n");
  std::string text =
      "From above the car is in the middle, its front up: to the left what is annotated, to the right what is predicted. ";
  for (std::size_t i = 0; i < legend.sentences.size(); ++i) {
    text += legend.sentences[i] + (i + 1 < legend.sentences.size() ? " " : "");
  }
  page_.paragraph(text);
}

void Gallery::draw_annotations(SampleDrawing& drawing, const SamplePrediction& prediction) const {
  const DetectionLabels& labels = context_.config.loading.box_labels;
  const CountedBoxes counts(context_.tables, prediction.sample, labels);
  for (const Box3D& box : prediction.truth) {
    const bool counted = counts(box, box.lidar_points + box.radar_points);
    drawing.counted += counted ? 1 : 0;
    drawing.annotated_boxes.push_back(
        {box, counted ? labels.at(index_of(box.label)).colour : uncounted_colour, counted ? 2.0 : 1.0, ""});
  }
}

std::string Gallery::picture(const std::string& name, const std::string& alternative) const {
  return "<img src=\"" + name + "\" alt=\"" + alternative + "\"/>";
}

void Gallery::add(const SamplePrediction& prediction) {
  const KeyFrame frame = key_frame_of(context_.tables, prediction.sample);
  const MapGrid& grid = context_.config.loading.grid;
  const std::string token = to_string(frame.sample);
  const std::string name = std::to_string(prediction.sample) + "_" + file_name_part(frame.sample);
  const std::vector<SweepPoint> points = frame.has_lidar() ? read_points(frame) : std::vector<SweepPoint>();
  SampleDrawing drawing;
  drawing.annotated = drawing.predicted = MapMasks(context_.config.loading.map_labels);
  draw_annotations(drawing, prediction);
  for (const auto& task : tasks_) {
    task->draw(drawing, prediction, context_);
  }
  const auto beside = [&](Colour colour) {
    std::vector<DrawnBox> boxes;
    for (const DrawnBox& one : drawing.annotated_boxes) {
      boxes.push_back({one.box, one.colour == uncounted_colour ? uncounted_colour : colour, 1, ""});
    }
    boxes.insert(boxes.end(), drawing.predicted_boxes.begin(), drawing.predicted_boxes.end());
    return boxes;
  };

  std::vector<DrawnPath> ways = drawing.driven;
  ways.insert(ways.end(), drawing.planned.begin(), drawing.planned.end());

  page_.raw("<h2 title=\"sample " + example::escaped(token) + "\">" + example::escaped(frame.scene) + ", sample " +
            std::to_string(place_in_scene(context_.tables, prediction.sample)) + "</h2>\n<div class=\"scene\"><p>" +
            drawing.caption + "</p>");
  const double reach = std::max(grid.reach, context_.config.model.bev_range);
  write_png(options_.out / (name + "_bev.png"),
            compare_from_above({drawing.annotated, drawing.annotated_boxes, drawing.driven},
                               {drawing.predicted, beside(truth_colour), ways}, points, grid, reach, options_.width));
  page_.raw(picture(name + "_bev.png", "from above: annotated, predicted"));
  for (const OwnPicture& own : drawing.own) {
    const std::string file = name + "_" + own.name + ".png";
    write_png(options_.out / file,
              compare_from_above({own.annotated, {}}, {own.predicted, {}}, points, own.grid, reach, options_.width));
    page_.raw(picture(file, own.alternative));
  }
  if (std::any_of(frame.cameras.begin(), frame.cameras.end(), [](const CameraFrame& camera) { return camera.present; })) {
    write_png(options_.out / (name + "_cameras.png"),
              compare_in_pictures(frame, beside(truth_colour_in_pictures), ways, options_.width));
    page_.raw(picture(name + "_cameras.png", "boxes in the six pictures"));
  }
  page_.raw("</div>\n");
}

void Gallery::write() const { page_.write((options_.out / "index.html").string()); }

}  // namespace bevfusion
