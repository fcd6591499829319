// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/gallery.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/evaluation/figures_json.hpp"
#include "bevfusion/losses/foreground_target.hpp"
#include "bevfusion/metrics/detection_filter.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"
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

std::string two_decimals(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.2f", value);
  return text.data();
}

/// Whether nuScenes evaluates boxes of a sample, in the frame of its LiDAR.
class Counted {
 public:
  Counted(const Tables& tables, RowIndex sample, const DetectionLabels& labels)
      : labels_(labels),
        sample_(evaluation_sample(tables, sample, labels)),
        global_from_lidar_(key_frame_of(tables, sample, {1, labels}).global_from_lidar()) {
    protocol_.classes = evaluated_classes(labels);
  }

  /// @param points  of an annotation, LiDAR's and radar's; -1 for a prediction
  bool operator()(const Box3D& box, int points) const {
    DetectionBox global = submitted_box(box, 0, global_from_lidar_, labels_);
    global.point_count = points;
    return is_evaluated(global, sample_, protocol_);
  }

 private:
  const DetectionLabels& labels_;
  EvaluationSample sample_;
  RigidTransform global_from_lidar_;
  DetectionConfig protocol_;
};

/// @param values    [labels, X, Y], 0 or 1
/// @param labelled  [labels] bool; all where undefined
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

/// Cells that reach their class's threshold, in single precision as the evaluation compares them.
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

/// Footprints of the annotations that a sensor hit, those that the foreground's figures count.
torch::Tensor true_foreground(const SamplePrediction& prediction, const RunConfig& config) {
  std::vector<Box3D> seen;
  for (const Box3D& box : prediction.truth) {
    if (box.lidar_points + box.radar_points > 0) {
      seen.push_back(box);
    }
  }
  return foreground_target({seen}, config.model.foreground_masks, config.model.segmentation.mask, config.loading.box_labels)[0];
}

std::string swatch(Colour colour, const std::string& text) {
  return "<span><i style=\"background:" + css(colour) + "\"></i> " + example::escaped(text) + "</span> ";
}

/// "drivable_area, from 0.40".
std::string with_threshold(const std::string& name, const MaskThreshold& threshold) {
  return name + ", from " + two_decimals(static_cast<double>(threshold.value)) + (threshold.picked ? "" : " (not picked)");
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

Gallery::Gallery(GalleryOptions options, const Tables& tables, const RunConfig& config)
    : options_(std::move(options)), tables_(tables), config_(config), page_(options_.title) {
  if (config.model.parts.foreground) {
    foreground_names_ = foreground_names(static_cast<std::size_t>(config.model.foreground_masks), config.loading.box_labels);
  }
  options_.thresholds.map.resize(config.loading.map_labels.size());
  options_.thresholds.foreground.resize(foreground_names_.size());
  write_legend();
}

void Gallery::write_legend() {
  page_.raw(
      "<style>main { max-width: 100rem; } .scene img { max-width: 100%; height: auto; display: block; margin: .4rem 0; }"
      " .legend i { display: inline-block; width: .85em; height: .85em; border: 1px solid var(--soft); vertical-align: -.08em; }"
      "</style>\n<p class=\"legend\">");
  if (config_.model.parts.detection) {
    for (const DetectionLabel& label : config_.loading.box_labels) {
      page_.raw(swatch(label.colour, label.name));
    }
    page_.raw(swatch(truth_colour, "annotated, from above") + swatch(truth_colour_in_pictures, "annotated, in pictures"));
    page_.raw(swatch(uncounted_colour, "not evaluated"));
  }
  if (config_.model.parts.segmentation) {
    for (std::size_t c = 0; c < config_.loading.map_labels.size(); ++c) {
      const MapLabel& label = config_.loading.map_labels[c];
      page_.raw(swatch(map_colour(label), with_threshold(label.name, options_.thresholds.map[c])));
    }
  }
  const MapLabels foreground = foreground_as_map(foreground_names_, config_.loading.box_labels);
  for (std::size_t m = 0; m < foreground.size(); ++m) {
    page_.raw(swatch(map_colour(foreground[m]),
                     "foreground: " + with_threshold(foreground[m].name, options_.thresholds.foreground[m])));
  }
  page_.raw("</p>\n");
  std::string text =
      "From above the car is in the middle, its front up: to the left what is annotated, to the right what is predicted. ";
  if (config_.model.parts.detection) {
    text +=
        "Boxes are in the colours of their classes, predictions with a score of " + two_decimals(options_.least_score) +
        " or more; to the right and in the pictures annotations are outlined thinly beside them. Grey are boxes that nuScenes "
        "does not evaluate: out of their class's range, without a LiDAR or radar point, cycles in racks. A thin line from a "
        "box is where it goes in two seconds. ";
  }
  if (config_.model.parts.segmentation || !foreground_names_.empty()) {
    text +=
        "A cell is painted from the probability that is named with its class: where one was picked, the threshold that the run's "
        "evaluation found best. Classes that a sample does not label are left out.";
  }
  page_.paragraph(text);
}

Gallery::Boxes Gallery::true_boxes(const SamplePrediction& prediction) const {
  const DetectionLabels& labels = config_.loading.box_labels;
  const Counted counts(tables_, prediction.sample, labels);
  Boxes out;
  for (const Box3D& box : prediction.truth) {
    const bool counted = counts(box, box.lidar_points + box.radar_points);
    out.counted += counted ? 1 : 0;
    out.boxes.push_back({box, counted ? labels.at(index_of(box.label)).colour : uncounted_colour, counted ? 2.0 : 1.0, ""});
  }
  return out;
}

Gallery::Boxes Gallery::predicted_boxes(const SamplePrediction& prediction) const {
  const DetectionLabels& labels = config_.loading.box_labels;
  const Counted counts(tables_, prediction.sample, labels);
  Boxes out;
  for (const ScoredBox& one : prediction.boxes) {
    if (one.score < options_.least_score) {
      continue;
    }
    const bool counted = counts(one.box, -1);
    const DetectionLabel& label = labels.at(index_of(one.box.label));
    out.counted += counted ? 1 : 0;
    out.boxes.push_back({one.box, counted ? label.colour : uncounted_colour, counted ? 2.0 : 1.0,
                         counted ? label.name + " " + two_decimals(one.score) : ""});
  }
  std::reverse(out.boxes.begin(), out.boxes.end());  // the surest on top
  return out;
}

std::string Gallery::picture(const std::string& name, const std::string& alternative) const {
  return "<img src=\"" + name + "\" alt=\"" + alternative + "\"/>";
}

void Gallery::add(const SamplePrediction& prediction) {
  const KeyFrame frame = key_frame_of(tables_, prediction.sample);
  const MapGrid& grid = config_.loading.grid;
  const std::string token = to_string(frame.sample);
  const std::string name = std::to_string(prediction.sample) + "_" + file_name_part(frame.sample);
  const std::vector<SweepPoint> points = frame.has_lidar() ? read_points(frame) : std::vector<SweepPoint>();
  const Boxes truth = true_boxes(prediction);
  const Boxes found = predicted_boxes(prediction);
  const auto beside = [&](Colour colour) {
    std::vector<DrawnBox> boxes;
    for (const DrawnBox& one : truth.boxes) {
      boxes.push_back({one.box, one.colour == uncounted_colour ? uncounted_colour : colour, 1, ""});
    }
    boxes.insert(boxes.end(), found.boxes.begin(), found.boxes.end());
    return boxes;
  };

  page_.raw("<h2 title=\"sample " + example::escaped(token) + "\">" + example::escaped(frame.scene) + ", sample " +
            std::to_string(place_in_scene(tables_, prediction.sample)) + "</h2>\n<div class=\"scene\"><p>");
  if (config_.model.parts.detection) {
    page_.raw(std::to_string(truth.counted) + (truth.counted == 1 ? " box" : " boxes") + " annotated, " +
              std::to_string(found.counted) + " predicted");
    if (truth.boxes.size() > truth.counted || found.boxes.size() > found.counted) {
      page_.raw("; " + std::to_string(truth.boxes.size() - truth.counted) + " and " +
                std::to_string(found.boxes.size() - found.counted) + " more are not evaluated");
    }
    page_.raw(". ");
  }
  const MapLabels& map = config_.loading.map_labels;
  if (config_.model.parts.segmentation && prediction.labelled.defined() && !prediction.labelled.all().item<bool>()) {
    std::string missing;
    for (std::size_t c = 0; c < map.size(); ++c) {
      if (!prediction.labelled[static_cast<std::int64_t>(c)].item<bool>()) {
        missing += (missing.empty() ? "" : ", ") + map[c].name;
      }
    }
    page_.raw("Not labelled here: " + example::escaped(missing) + ".");
  }
  page_.raw("</p>");
  const double reach = std::max(grid.reach, config_.model.bev_range);
  const torch::Tensor said = reaching(prediction.segmentation, options_.thresholds.map);
  const torch::Tensor known = said.defined() ? prediction.masks : torch::Tensor();
  write_png(
      options_.out / (name + "_bev.png"),
      compare_from_above({masks_of(map, known, prediction.labelled), truth.boxes},
                         {masks_of(map, said, prediction.labelled), beside(truth_colour)}, points, grid, reach, options_.width));
  page_.raw(picture(name + "_bev.png", "from above: annotated, predicted"));
  if (prediction.foreground.defined()) {
    const MapLabels labels = foreground_as_map(foreground_names_, config_.loading.box_labels);
    const MapGrid cells{config_.model.segmentation.mask.range, static_cast<int>(config_.model.segmentation.mask.cells)};
    const MapMasks left = masks_of(labels, true_foreground(prediction, config_), {});
    const MapMasks right = masks_of(labels, reaching(prediction.foreground, options_.thresholds.foreground), {});
    write_png(options_.out / (name + "_foreground.png"),
              compare_from_above({left, {}}, {right, {}}, points, cells, reach, options_.width));
    page_.raw(picture(name + "_foreground.png", "foreground from above: annotated, predicted"));
  }
  if (std::any_of(frame.cameras.begin(), frame.cameras.end(), [](const CameraFrame& camera) { return camera.present; })) {
    write_png(options_.out / (name + "_cameras.png"),
              compare_in_pictures(frame, beside(truth_colour_in_pictures), options_.width));
    page_.raw(picture(name + "_cameras.png", "boxes in the six pictures"));
  }
  page_.raw("</div>\n");
}

void Gallery::write() const { page_.write((options_.out / "index.html").string()); }

}  // namespace bevfusion
