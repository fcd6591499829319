// SPDX-License-Identifier: Apache-2.0
// Pictures of predictions, looked at pixel by pixel: what they show is what the figures count, in the colours that the page
// names.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <png.h>
#include <torch/torch.h>

#include "bevfusion/evaluation/decode.hpp"
#include "bevfusion/evaluation/gallery.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/nuscenes/key_frame.hpp"
#include "bevfusion/pictures/picture_colours.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/tasks/mask_figures.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
namespace fs = std::filesystem;

constexpr int side = 400;  // of a view, pixels
constexpr int gap = 12;    // between two

Image read_png(const fs::path& file) {
  png_image png{};
  png.version = PNG_IMAGE_VERSION;
  REQUIRE(png_image_begin_read_from_file(&png, file.c_str()) != 0);
  png.format = PNG_FORMAT_RGB;
  Image image(static_cast<int>(png.width), static_cast<int>(png.height));
  REQUIRE(png_image_finish_read(&png, nullptr, image.rgb.data(), 0, nullptr) != 0);
  return image;
}

/// Pixels of a colour in columns [from, to).
std::size_t count(const Image& image, Colour colour, int from, int to) {
  std::size_t found = 0;
  for (int y = 0; y < image.height; ++y) {
    for (int x = from; x < std::min(to, image.width); ++x) {
      found += std::equal(colour.begin(), colour.end(), image.pixel(x, y)) ? 1 : 0;
    }
  }
  return found;
}
std::size_t left_of(const Image& image, Colour colour) { return count(image, colour, 0, side); }
std::size_t right_of(const Image& image, Colour colour) { return count(image, colour, side + gap, 2 * side + gap); }

/// Whether the back edge of a box that points along x is drawn there; its middle is at (x, y), its length 6 m.
bool has_back_edge(const Image& image, double x, double y, Colour colour, int left) {
  constexpr double reach = 25.6;  // of the tiny model
  const int u = left + static_cast<int>((x - 3 + reach) * side / (2 * reach));
  const int v = static_cast<int>((reach - y - 1) * side / (2 * reach));
  for (int dx = -1; dx <= 1; ++dx) {
    if (std::equal(colour.begin(), colour.end(), image.pixel(u + dx, v))) {
      return true;
    }
  }
  return false;
}

std::string text_of(const fs::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

bool has(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

/// A synthetic scene of two samples, and a run's config that loads it.
class Scene {
 public:
  Scene() {
    SynthOptions options = SynthOptions::tiny();
    options.out = folder_.path() / "set";
    options.scenes = 1;
    options.samples = 2;
    options.sweeps = 1;
    options.seed = 3;
    generate(options);
    tables = read_tables(options.out, options.version);
    config.model = tiny_model();
    config.model.parts.tasks["foreground"] = true;
    config.loading = loading_options(config.model);
    out = folder_.path() / "out";
    fs::create_directories(out);
  }

  /// Of the second sample: nothing found, a map without cells.
  SamplePrediction prediction() const {
    const auto cells = static_cast<std::int64_t>(config.loading.grid.cells);
    const auto classes = static_cast<std::int64_t>(config.loading.map_labels.size());
    SamplePrediction one;
    one.sample = 1;
    one.truth = key_frame_of(tables, 1).boxes;
    one.masks = torch::zeros({classes, cells, cells});
    one.labelled = torch::ones({classes}, torch::kBool);
    one.said["detection"] = std::vector<ScoredBox>();
    one.said["segmentation"] = MaskPrediction{torch::zeros({classes, cells, cells}), one.masks, one.labelled};
    one.said["foreground"] = foreground_of(one.truth, 0);
    return one;
  }

  /// The foreground of these boxes, and one probability found everywhere in the first mask.
  MaskPrediction foreground_of(const std::vector<Box3D>& boxes, double probability) const {
    const auto fine = config.model.segmentation.mask.cells;
    const torch::Tensor logits = torch::full({1, config.model.foreground_masks, fine, fine}, -50.0);
    logits[0][0].fill_(std::log(probability / (1 - probability)));
    Batch batch;
    batch.boxes = {boxes};
    bool finite = true;
    return std::any_cast<MaskPrediction>(kinds().tasks.at("foreground")->prediction(logits, 0, batch, config, finite));
  }

  GalleryOptions options() const {
    GalleryOptions options;
    options.out = out;
    options.title = "what is found";
    options.width = side;
    options.thresholds["segmentation"] = {{0.35F, true}, {0.45F, true}, {0.5F, false}};
    options.thresholds["foreground"] = {{0.40F, true}};
    return options;
  }

  Image drawn(const SamplePrediction& prediction, const std::string& kind) const {
    Gallery gallery(options(), tables, config);
    gallery.add(prediction);
    gallery.write();
    for (const auto& entry : fs::directory_iterator(out)) {
      if (has(entry.path().filename().string(), kind)) {
        return read_png(entry.path());
      }
    }
    throw std::runtime_error("there is no picture " + kind);
  }

  Tables tables;
  RunConfig config;
  fs::path out;

 private:
  bevfusion::testing::TemporaryFolder folder_;
};

ScoredBox found_at(double x, double y, DetectionClass label, double score = 0.87) {
  ScoredBox one;
  one.box.center = {x, y, 0};
  one.box.size = {3, 6, 2};
  one.box.velocity = {0, 0};
  one.box.label = label;
  one.score = score;
  return one;
}

}  // namespace

TEST_CASE("thresholds are those that the evaluation picked", "[bevfusion][gallery]") {
  const bevfusion::testing::TemporaryFolder folder;
  const fs::path file = folder.path() / "evaluation.json";
  std::ofstream(file)
      << R"({"segmentation": {"road": {"IoU": 0.5, "threshold": 0.35}, "divider": {"IoU": null, "threshold": null}},
    "foreground": {"objects": {"threshold": 0.4}}})";
  const MaskThresholds picked =
      picked_thresholds(file, {{"segmentation", {"divider", "road", "walkway"}}, {"foreground", {"objects"}}});
  const std::vector<MaskThreshold>& map = picked.at("segmentation");
  CHECK(map[1].value == 0.35F);  // the very number that the evaluation compares with
  CHECK(map[1].picked);
  CHECK(picked.at("foreground")[0].value == 0.4F);
  for (const std::size_t unlabelled : {0, 2}) {
    CHECK(map[unlabelled].value == 0.5F);
    CHECK_FALSE(map[unlabelled].picked);
  }
  CHECK_FALSE(picked_thresholds(folder.path() / "absent.json", {{"segmentation", {"road"}}}).at("segmentation")[0].picked);
  CHECK(same_thresholds(0.2F, {{"segmentation", {"road", "rail"}}, {"foreground", {"objects"}}}).at("segmentation")[1].value ==
        0.2F);
  std::ofstream(file) << R"({"segmentation": )";
  std::string refusal;
  try {
    picked_thresholds(file, {{"segmentation", {"road"}}});
  } catch (const std::runtime_error& error) {
    refusal = error.what();
  }
  CHECK(has(refusal, "evaluation.json"));
  CHECK(has(refusal, "--mask-threshold"));
}

TEST_CASE("cells are painted from their class's threshold, in the legend's colours", "[bevfusion][gallery]") {
  const Scene scene;
  const MapLabels& map = scene.config.loading.map_labels;
  SamplePrediction one = scene.prediction();
  const torch::Tensor probability = one.of<MaskPrediction>("segmentation")->probability;
  probability[0].fill_(0.35F);    // just reaches it
  probability[1].fill_(0.4499F);  // just does not
  probability[3].fill_(0.9F);
  one.labelled[3] = false;  // so it enters no figure
  const Image bev = scene.drawn(one, "_bev");
  CHECK(bev.width == 2 * side + gap);
  CHECK(right_of(bev, map_colour(map[0])) > side * side / 2);
  CHECK(left_of(bev, map_colour(map[0])) == 0);
  CHECK(right_of(bev, map_colour(map[1])) == 0);
  CHECK(right_of(bev, map_colour(map[3])) == 0);
  const std::string page = text_of(scene.out / "index.html");
  CHECK(has(page, "background:" + css(map_colour(map[0])) + "\"></i> " + map[0].name + ", from 0.35<"));
  CHECK(has(page, "background:" + css(map_colour(map[1])) + "\"></i> " + map[1].name + ", from 0.45<"));
  CHECK(has(page, map[2].name + ", from 0.50 (not picked)"));
  CHECK(has(page, "Not labelled here: " + map[3].name + "."));
}

TEST_CASE("boxes have their classes' colours; what no figure counts is grey", "[bevfusion][gallery]") {
  const Scene scene;
  SamplePrediction one = scene.prediction();
  one.truth.clear();
  one.said["detection"] =
      std::vector<ScoredBox>{found_at(12, 20, DetectionClass::bus), found_at(-12, 20, DetectionClass::bicycle),
                             found_at(12, -20, DetectionClass::barrier),        // 23 m, evaluated to 30 m
                             found_at(22, 22, DetectionClass::traffic_cone),    // 31 m, beyond its 30 m
                             found_at(-12, -20, DetectionClass::truck, 0.05)};  // not sure enough
  const Image bev = scene.drawn(one, "_bev");
  const DetectionLabels& labels = scene.config.loading.box_labels;
  const auto colour = [&](DetectionClass label) { return labels.at(index_of(label)).colour; };
  const std::string page = text_of(scene.out / "index.html");
  for (const DetectionClass label : {DetectionClass::bus, DetectionClass::bicycle, DetectionClass::barrier}) {
    INFO(labels.at(index_of(label)).name);
    CHECK(right_of(bev, colour(label)) > 50);
    CHECK(has(page, "background:" + css(colour(label)) + "\"></i> " + labels.at(index_of(label)).name + "<"));
  }
  CHECK(right_of(bev, colour(DetectionClass::traffic_cone)) == 0);
  CHECK(right_of(bev, colour(DetectionClass::truck)) == 0);
  CHECK(has_back_edge(bev, 22, 22, uncounted_colour, side + gap));
  CHECK(has(page, "0 boxes annotated, 3 predicted; 0 and 1 more are not evaluated."));
}

TEST_CASE("annotations are to the left in their colours, to the right thin and dark", "[bevfusion][gallery]") {
  const Scene scene;
  SamplePrediction one = scene.prediction();
  Box3D car = found_at(10, 10, DetectionClass::car).box;
  car.lidar_points = 5;
  Box3D unseen = found_at(-10, 10, DetectionClass::trailer).box;
  unseen.lidar_points = unseen.radar_points = 0;
  one.truth = {car, unseen};
  const Image bev = scene.drawn(one, "_bev");
  const DetectionLabels& labels = scene.config.loading.box_labels;
  CHECK(left_of(bev, labels[0].colour) > 50);
  CHECK(left_of(bev, labels[3].colour) == 0);  // no sensor hit it: no figure counts it
  CHECK(has_back_edge(bev, -10, 10, uncounted_colour, 0));
  CHECK(has_back_edge(bev, 10, 10, labels[0].colour, 0));
  CHECK(right_of(bev, labels[0].colour) == 0);
  CHECK(has_back_edge(bev, 10, 10, truth_colour, side + gap));
  const std::string page = text_of(scene.out / "index.html");
  CHECK(has(page, "background:" + css(truth_colour)));
  CHECK(has(page, "background:" + css(truth_colour_in_pictures)));
  CHECK(has(page, "1 box annotated, 0 predicted; 1 and 0 more"));
  const std::string token = to_string(scene.tables.samples[1].token);
  CHECK(has(page, ", sample 2</h2>"));
  CHECK_FALSE(has(page, token + "</h2>"));
}

TEST_CASE("foreground is shown at its threshold, beside the footprints that its figure counts", "[bevfusion][gallery]") {
  const Scene scene;
  SamplePrediction one = scene.prediction();
  Box3D car = found_at(10, 10.2, DetectionClass::car).box;
  car.lidar_points = 5;
  one.truth = {car};
  one.said["foreground"] = scene.foreground_of(one.truth, 0.41);
  const Image picture = scene.drawn(one, "_foreground");
  const MapLabels masks = foreground_as_map(groups_of(scene.config.loading.box_labels), scene.config.loading.box_labels);
  const std::size_t found = left_of(picture, map_colour(masks[0]));
  // 18 cells of 1 m^2, 61 pixels each, less what points cover.
  CHECK(found > 900);
  CHECK(found < 1170);
  CHECK(right_of(picture, map_colour(masks[0])) > side * side / 4);
  CHECK(has(text_of(scene.out / "index.html"),
            "background:" + css(map_colour(masks[0])) + "\"></i> foreground: " + masks[0].name + ", from 0.40<"));
}

TEST_CASE("what others find stands between what is annotated and what is predicted", "[bevfusion][gallery]") {
  const Scene scene;
  SamplePrediction one = scene.prediction();
  one.truth.clear();
  SamplePrediction other = one;
  other.said.clear();
  one.said["detection"] = std::vector<ScoredBox>{found_at(12, 20, DetectionClass::bus)};
  other.said["detection"] = std::vector<ScoredBox>{found_at(-12, 20, DetectionClass::truck)};
  GalleryOptions options = scene.options();
  options.beside = "the teachers";
  Gallery gallery(options, scene.tables, scene.config);
  gallery.add(one, &other);
  gallery.write();
  fs::path above;
  std::size_t cameras = 0;
  for (const auto& entry : fs::directory_iterator(scene.out)) {
    const std::string name = entry.path().filename().string();
    above = has(name, "_bev.png") ? entry.path() : above;
    cameras += has(name, "_cameras.png") ? 1 : 0;
  }
  CHECK(cameras == 2);
  const Image bev = read_png(above);
  REQUIRE(bev.width == 3 * side + 2 * gap);
  const DetectionLabels& labels = scene.config.loading.box_labels;
  const auto boxes_in = [&](int view, DetectionClass label) {
    const int left = view * (side + gap);
    return count(bev, labels.at(index_of(label)).colour, left, left + side);
  };
  CHECK(boxes_in(1, DetectionClass::truck) > 50);
  CHECK(boxes_in(1, DetectionClass::bus) == 0);
  CHECK(boxes_in(2, DetectionClass::bus) > 50);
  CHECK(boxes_in(2, DetectionClass::truck) == 0);
  CHECK(boxes_in(0, DetectionClass::bus) + boxes_in(0, DetectionClass::truck) == 0);
  const std::string page = text_of(scene.out / "index.html");
  CHECK(has(page, "then what the teachers find, to the right what is predicted."));
  CHECK(has(page, "<p>Of the teachers: "));
}
