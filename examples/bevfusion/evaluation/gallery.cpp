// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/gallery.hpp"

#include <algorithm>
#include <utility>

#include "bevfusion/evaluation/counted_boxes.hpp"
#include "bevfusion/evaluation/sample_names.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/class_picture.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/pictures/prediction_picture.hpp"

namespace bevfusion {

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
      beside_{tables, config, options_.least_score, options_.beside_thresholds},
      tasks_(kinds.tasks.of(config.model)),
      page_(options_.title) {
  for (const auto& task : tasks_) {
    for (PictureContext* context : {&context_, &beside_}) {
      context->thresholds[task->name()].resize(task->mask_names(config).size());
    }
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
  std::string text = "From above the car is in the middle, its front up: to the left what is annotated, " +
                     (options_.beside.empty() ? std::string() : "then what " + options_.beside + " find, ") +
                     "to the right what is predicted. ";
  for (std::size_t i = 0; i < legend.sentences.size(); ++i) {
    text += legend.sentences[i] + (i + 1 < legend.sentences.size() ? " " : "");
  }
  page_.paragraph(text);
}

SampleDrawing Gallery::drawing_of(const SamplePrediction& prediction, const PictureContext& context) const {
  SampleDrawing drawing;
  drawing.annotated = drawing.predicted = MapMasks(context_.config.loading.map_labels);
  draw_annotations(drawing, prediction);
  for (const auto& task : tasks_) {
    if (prediction.said.count(task->name()) > 0) {
      task->draw(drawing, prediction, context);
    }
  }
  return drawing;
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

std::vector<DrawnBox> Gallery::over_annotated(const SampleDrawing& drawing, Colour colour) {
  std::vector<DrawnBox> boxes;
  for (const DrawnBox& one : drawing.annotated_boxes) {
    boxes.push_back({one.box, one.colour == uncounted_colour ? uncounted_colour : colour, 1, ""});
  }
  boxes.insert(boxes.end(), drawing.predicted_boxes.begin(), drawing.predicted_boxes.end());
  return boxes;
}

std::vector<DrawnPath> Gallery::ways(const SampleDrawing& drawing) {
  std::vector<DrawnPath> ways = drawing.driven;
  ways.insert(ways.end(), drawing.planned.begin(), drawing.planned.end());
  return ways;
}

void Gallery::add(const SamplePrediction& prediction, const SamplePrediction* other) {
  const KeyFrame frame = key_frame_of(context_.tables, prediction.sample);
  const MapGrid& grid = context_.config.loading.grid;
  const std::string token = to_string(frame.sample);
  const std::string name = picture_name(prediction.sample, frame);
  const std::vector<SweepPoint> points = frame.has_lidar() ? read_points(frame) : std::vector<SweepPoint>();
  std::vector<SampleDrawing> drawings;  // from left to right
  if (other != nullptr) {
    drawings.push_back(drawing_of(*other, beside_));
  }
  drawings.push_back(drawing_of(prediction, context_));
  const SampleDrawing& drawing = drawings.back();

  page_.raw("<h2 title=\"sample " + example::escaped(token) + "\">" + example::escaped(frame.scene) + ", sample " +
            std::to_string(place_in_scene(context_.tables, prediction.sample)) + "</h2>\n<div class=\"scene\"><p>" +
            drawing.caption + "</p>");
  if (other != nullptr) {
    page_.raw("<p>Of " + example::escaped(options_.beside) + ": " + drawings.front().caption + "</p>");
  }
  const double reach = std::max(grid.reach, context_.config.model.bev_range);
  std::vector<SceneView> views{{drawing.annotated, drawing.annotated_boxes, drawing.driven}};
  for (const SampleDrawing& one : drawings) {
    views.push_back({one.predicted, over_annotated(one, truth_colour), ways(one)});
  }
  write_png(options_.out / (name + "_bev.png"), views_from_above(views, points, grid, reach, options_.width));
  page_.raw(picture(name + "_bev.png", "from above: annotated, " +
                                           (other == nullptr ? "" : example::escaped(options_.beside) + ", ") + "predicted"));
  for (const OwnPicture& own : drawing.own) {
    std::vector<SceneView> of_task{{own.annotated, {}}};
    for (const SampleDrawing& one : drawings) {
      const auto found =
          std::find_if(one.own.begin(), one.own.end(), [&own](const OwnPicture& picture) { return picture.name == own.name; });
      if (found != one.own.end()) {
        of_task.push_back({found->predicted, {}});
      }
    }
    const std::string file = name + "_" + own.name + ".png";
    write_png(options_.out / file, views_from_above(of_task, points, own.grid, reach, options_.width));
    page_.raw(picture(file, own.alternative));
  }
  if (std::any_of(frame.cameras.begin(), frame.cameras.end(), [](const CameraFrame& camera) { return camera.present; })) {
    if (other != nullptr) {
      add_cameras(frame, drawings.front(), name + "_beside_cameras.png", "boxes of " + options_.beside + " in the six pictures");
    }
    add_cameras(frame, drawing, name + "_cameras.png", "boxes in the six pictures");
  }
  for (const PaintedPictures& painted : drawing.painted) {
    const std::string file = name + "_" + painted.name + ".png";
    write_png(options_.out / file,
              compare_classes(frame, painted.annotated, painted.predicted, painted.colours, context_.config.loading.image,
                              options_.width, names_in(context_.config.data.cameras)));
    page_.raw(picture(file, painted.alternative));
  }
  page_.raw("</div>\n");
}

void Gallery::add_cameras(const KeyFrame& frame, const SampleDrawing& drawing, const std::string& file,
                          const std::string& alternative) {
  write_png(options_.out / file, compare_in_pictures(frame, over_annotated(drawing, truth_colour_in_pictures), ways(drawing),
                                                     options_.width, names_in(context_.config.data.cameras)));
  page_.raw(picture(file, example::escaped(alternative)));
}

void Gallery::write() const { page_.write((options_.out / "index.html").string()); }

}  // namespace bevfusion
