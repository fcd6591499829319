// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/evaluation/attention_gallery.hpp"

#include <algorithm>
#include <cstdio>
#include <stdexcept>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/evaluation/sample_names.hpp"
#include "bevfusion/loading/training_sample.hpp"
#include "bevfusion/model/autocast.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/model/on_device.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/bev_picture.hpp"
#include "bevfusion/pictures/camera_picture.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/pictures/prediction_picture.hpp"
#include "bevfusion/tasks/task_drawing.hpp"

namespace bevfusion {
namespace {

struct Place {
  Eigen::Vector2d at;
  std::string what;
};

/// The nearest annotated box on the map, or a place ahead where there is none.
Place nearest_box(const std::vector<Box3D>& boxes, const DetectionLabels& labels, double reach) {
  Place place{{0, std::min(10.0, reach / 2)}, "straight ahead, for no box is annotated on the map"};
  double nearest = 1e9;
  for (const Box3D& box : boxes) {
    const Eigen::Vector2d at = box.center.head<2>();
    if (at.cwiseAbs().maxCoeff() < reach && at.norm() < nearest) {
      nearest = at.norm();
      place = {at, "the nearest annotated box, " + labels.at(index_of(box.label)).name};
    }
  }
  return place;
}

std::string number(const char* format, double value) {
  char text[32];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string called(const std::string& sensor) { return sensor == "lidar" ? "LiDAR" : sensor; }

/// "The camera's map, as the LiDAR's window reads it: the strongest of 256 windows has 1.4 % of the weight, an even share is 0.4
/// %."
std::string described(const Look& look) {
  const double strongest = *std::max_element(look.weights.weights.begin(), look.weights.weights.end());
  const auto count = static_cast<double>(look.weights.weights.size());
  return "the " + called(look.asked) + "'s map as the " + called(look.asking) + "'s window reads it: the strongest of " +
         number("%.0f", count) + " windows has " + number("%.2g", 100 * strongest) + " % of the weight, an even share is " +
         number("%.2g", 100 / count) + " %";
}

}  // namespace

std::vector<Look> looks_from(BevFusion& tower, const ModelInput& input, const Eigen::Vector2d& at) {
  const torch::NoGradGuard no_grad;
  const std::vector<AttentionMap> maps = tower->attention(tower->filled(tower->branches(input)));
  if (maps.empty()) {
    throw std::invalid_argument("model.fuser '" + tower->config().fuser +
                                "' lets no sensor look at another, so there is no attention to draw; cross_attention does");
  }
  std::vector<Look> looks;
  for (const AttentionMap& map : maps) {
    Look look;
    look.asking = tower->modalities().at(map.asking);
    look.asked = tower->modalities().at(map.asked);
    look.weights.reach = tower->config().bev_range;
    look.weights.side = static_cast<std::size_t>(map.side);
    const auto window = look.weights.window(at.x(), at.y());
    if (!window) {
      throw std::invalid_argument("--at " + number("%g", at.x()) + " " + number("%g", at.y()) +
                                  " is not on the map, which reaches " + number("%g", look.weights.reach) + " m to each side");
    }
    look.window = *window;
    const torch::Tensor row = map.weights[0][static_cast<std::int64_t>(*window)].to(torch::kCPU, torch::kDouble).contiguous();
    look.weights.weights.assign(row.data_ptr<double>(), row.data_ptr<double>() + row.numel());
    looks.push_back(std::move(look));
  }
  return looks;
}

AttentionGallery::AttentionGallery(AttentionOptions options, const Tables& tables, const RunConfig& config)
    : options_(std::move(options)), tables_(tables), config_(config), page_(options_.title) {
  page_.raw(
      "<style>main { max-width: 100rem; } .scene img { max-width: 100%; height: auto; display: block; margin: .4rem 0; }"
      " .legend i { display: inline-block; width: .85em; height: .85em; border: 1px solid var(--soft); vertical-align: -.08em; }"
      "</style>\n<p class=\"legend\">" +
      swatch(attention_colour, "windows that are read more than an even share, the strongest full") +
      swatch(asking_colour, "the window that asks") + swatch(truth_colour, "annotated boxes") + "</p>\n");
  page_.paragraph(
      "At each scale a window of one sensor's map asks all windows of the other's, and reads them by weights that add up to 1 "
      "(the "
      "mean over the heads). From above: to the left what the LiDAR's window reads of the cameras' map, to the right what the "
      "cameras' window reads of the LiDAR's. In the pictures: what the LiDAR's reads of the cameras' map, painted where the "
      "windows "
      "lie on the ground.");
}

void AttentionGallery::draw(const std::vector<Look>& looks, RowIndex sample, const std::string& tower, const Eigen::Vector2d& at,
                            const std::string& what) {
  const KeyFrame frame = key_frame_of(tables_, sample, {1, config_.loading.box_labels});
  const std::vector<SweepPoint> points = frame.has_lidar() ? read_points(frame) : std::vector<SweepPoint>();
  std::vector<DrawnBox> boxes;
  for (const Box3D& box : frame.boxes) {
    boxes.push_back({box, truth_colour, 1, ""});
  }
  // The ground below the LiDAR.
  const double ground = (frame.ego_from_lidar.inverse() * Eigen::Vector3d::Zero()).z();
  page_.raw("<h2>" + example::escaped(frame.scene) + ", sample " + std::to_string(place_in_scene(tables_, sample)) +
            (tower.empty() ? "" : ", " + example::escaped(tower)) + "</h2>\n<div class=\"scene\">");
  page_.paragraph("Asked from x " + number("%.1f", at.x()) + " m, y " + number("%.1f", at.y()) + " m, " + what + ".");
  const std::string begin = picture_name(sample, frame) + (tower.empty() ? "" : "_" + tower) + "_scale";
  for (std::size_t k = 0; 2 * k + 1 < looks.size(); ++k) {
    const std::string name = begin + std::to_string(k + 1);
    std::vector<Image> views;
    std::string text = "Scale " + std::to_string(k + 1) + ": ";
    for (const Look& look : {looks[2 * k], looks[2 * k + 1]}) {
      BevPicture picture({look.weights.reach, options_.width});
      picture.draw(look.weights);
      picture.draw(points);
      picture.draw(boxes);
      picture.draw({look.weights.border(look.window, ground, asking_colour)});
      picture.draw_ego_and_scale();
      views.push_back(picture.image());
      text += described(look) + (views.size() == 1 ? "; " : ".");
    }
    write_png(options_.out / (name + "_bev.png"), side_by_side(views));
    page_.paragraph(text);
    page_.raw("<img src=\"" + name + "_bev.png\" alt=\"from above: what each sensor reads of the other\"/>");
    const auto of_lidar =
        std::find_if(looks.begin() + static_cast<std::ptrdiff_t>(2 * k), looks.begin() + static_cast<std::ptrdiff_t>(2 * k + 2),
                     [](const Look& look) { return look.asked == "camera"; });
    const bool seen = std::any_of(frame.cameras.begin(), frame.cameras.end(), [](const auto& camera) { return camera.present; });
    if (seen && of_lidar != looks.begin() + static_cast<std::ptrdiff_t>(2 * k + 2)) {
      const DrawnPath border = of_lidar->weights.border(of_lidar->window, ground, asking_colour);
      const auto tint = [&](Image& image, const CameraView& view) {
        draw_weights(image, view, of_lidar->weights, frame.ego_from_lidar);
        draw_paths(image, view, {border});
      };
      write_png(options_.out / (name + "_cameras.png"), six_views(frame, options_.width, tint, names_in(config_.data.cameras)));
      page_.raw("<img src=\"" + name + "_cameras.png\" alt=\"in the six pictures: what the LiDAR's window reads\"/>");
    }
  }
  page_.raw("</div>\n");
}

void AttentionGallery::add(Network& network, RowIndex sample) {
  network->eval();
  LoadingOptions loading = config_.loading;
  loading.augment = false;
  const TrainingSample loaded = SampleLoader(tables_, loading).load(sample, 0);
  const torch::Device device(config_.training.device);
  const ModelInput input = on_device(collate({loaded}).input, device);
  const Place place = options_.at ? Place{*options_.at, "as chosen"}
                                  : nearest_box(loaded.boxes, config_.loading.box_labels, config_.model.bev_range);
  for (BevFusion tower : network->towers()) {
    const Autocast reduced(device, config_.training.precision);
    const std::string name = network->towers().size() == 1 ? "" : tower->tasks().front()->name();
    draw(looks_from(tower, input, place.at), sample, name, place.at, place.what);
  }
}

void AttentionGallery::write() const { page_.write((options_.out / "index.html").string()); }

}  // namespace bevfusion
