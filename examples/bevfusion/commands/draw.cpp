// SPDX-License-Identifier: Apache-2.0
// Draws a sample of a data set in nuScenes' format, to look at: boxes in the six pictures, and points, boxes and map from above.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <string>
#include <vector>

#include "bevfusion/labels/label_sets.hpp"
#include "bevfusion/map/map_masks.hpp"
#include "bevfusion/nuscenes/data_error.hpp"
#include "bevfusion/nuscenes/image_file.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/bev_picture.hpp"
#include "bevfusion/pictures/camera_picture.hpp"
#include "bevfusion/pictures/legend.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "support/number_range.hpp"
#include "support/standard_streams.hpp"

namespace {

using namespace bevfusion;

constexpr int shown_width = 640;  // of a camera's picture, pixels

/// What the classes of boxes and the labelled ones of the map are drawn in.
std::vector<LegendEntry> legend_of(const DetectionLabels& boxes, const MapMasks& map) {
  std::vector<LegendEntry> entries;
  for (const DetectionLabel& label : boxes) entries.push_back({label.colour, label.name});
  for (std::size_t c = 0; c < map.labels.size(); ++c) {
    if (map.labelled[c]) entries.push_back({map_colour(map.labels[c]), map.labels[c].name});
  }
  return entries;
}

void draw(const std::string& root, const std::string& version, int sample, int sweeps, const std::string& box_labels,
          const std::string& map_labels, const std::string& out) {
  const Tables tables = read_tables(root, version);
  if (sample < 0 || sample >= static_cast<int>(tables.samples.size())) {
    throw DataError("there are samples 0 ... " + std::to_string(tables.samples.size() - 1) + ", not " + std::to_string(sample));
  }
  const DetectionLabels& boxes = label_sets().detection.at(box_labels);
  const KeyFrame frame = key_frame_of(tables, sample, {sweeps, boxes});
  const Eigen::Matrix3d bev = bev_from_global(frame.global_from_lidar());
  const MapLabels& labels = label_sets().map.at(map_labels);
  BevPicture picture;
  const std::filesystem::path expansion = tables.root / "maps" / "expansion" / (frame.location + ".json");
  MapMasks masks(labels);
  if (std::filesystem::exists(expansion)) {
    masks = draw_masks(read_map_expansion(expansion, labels), bev);
  } else if (std::filesystem::exists(frame.base_map)) {
    masks = draw_masks(BaseMap::read(frame.base_map), labels, bev);
  }
  if (masks.cells > 0) picture.draw(masks);
  picture.draw(read_points(frame));
  picture.draw(frame.boxes, boxes);
  picture.draw_ego_and_scale();
  std::array<Image, camera_count> pictures = read_pictures_with_boxes(frame, frame.boxes, boxes);
  name_pictures(pictures, shown_width);
  write_png(out + "_bev.png", with_legend(picture.image(), legend_of(boxes, masks)));
  write_png(out + "_cameras.png", with_legend(six_pictures(pictures, shown_width), legend_of(boxes, MapMasks())));
  std::printf("scene %s, sample %s: %zu boxes; wrote %s_bev.png and %s_cameras.png\n", frame.scene.c_str(),
              to_string(frame.sample).c_str(), frame.boxes.size(), out.c_str(), out.c_str());
}

}  // namespace

int main(int argc, char** argv) {
  example::prepare_standard_streams();
  CLI::App app("Draws a sample of a data set in nuScenes' format.");
  std::string root;
  std::string version = "v1.0-mini";
  std::string out = "sample";
  std::string box_labels = standard_detection_labels;
  std::string map_labels = standard_map_labels;
  int sample = 0;
  int sweeps = 1;
  app.add_option("--data", root, "Folder of the data set")->required();
  app.add_option("--version", version, "Name of the tables' folder")->capture_default_str();
  app.add_option("--sample", sample, "Number of the sample")->check(example::number_within<int>(0))->capture_default_str();
  app.add_option("--sweeps", sweeps, "LiDAR sweeps to draw")->check(example::number_within<int>(1, 100))->capture_default_str();
  app.add_option("--box-labels", box_labels, "Set of labels that boxes are drawn in")->capture_default_str();
  app.add_option("--map-labels", map_labels, "Set of labels that the map is drawn in")->capture_default_str();
  app.add_option("--out", out, "Beginning of the pictures' names")->capture_default_str();
  int status = 1;
  try {
    app.parse(argc, argv);
    draw(root, version, sample, sweeps, box_labels, map_labels, out);
    status = 0;
  } catch (const CLI::ParseError& error) {
    status = app.exit(error);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bevfusion_draw: %s\n", error.what());
  }
  return example::exit_status("bevfusion_draw", status);
}
