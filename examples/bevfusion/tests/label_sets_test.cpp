// SPDX-License-Identifier: Apache-2.0
// Label sets that only this file knows, from the files of a data set to training, figures and pictures.
#include <algorithm>
#include <fstream>
#include <set>
#include <sstream>

#include <torch/torch.h>
#include <nlohmann/json.hpp>

#include "bevfusion/evaluation/evaluate.hpp"
#include "bevfusion/evaluation/figures_json.hpp"
#include "bevfusion/evaluation/figures_table.hpp"
#include "bevfusion/metrics/detection_evaluation.hpp"
#include "bevfusion/metrics/evaluation_sample.hpp"
#include "bevfusion/metrics/submission.hpp"
#include "bevfusion/model/labels.hpp"
#include "bevfusion/pictures/bev_picture.hpp"
#include "bevfusion/synth/generate.hpp"
#include "bevfusion/tasks/mask_figures.hpp"
#include "bevfusion/tests/support/data_folders.hpp"
#include "bevfusion/training/task_losses.hpp"
#include "bevfusion/training/trainer.hpp"
#include "support/catch.hpp"

using namespace bevfusion;

namespace {

constexpr Colour road_colour = {10, 20, 200};

/// A map of layers of which the standard labels know none, and one that they know under another name.
void register_traffic_map(LabelSets& sets) {
  MapLabel road{"road", {"road_segment"}, road_colour};
  road.base_map = true;
  MapLabel rail{"rail", {"tram_track", "train_track"}, {200, 30, 30}};
  rail.shapes = MapShapes::lines;
  rail.line_width = 4;
  sets.map.add("traffic_map", {road, rail, {"pavement", {"walkway"}, {0, 90, 0}}});
}

/// Two classes of boxes instead of ten.
void register_road_users(LabelSets& sets) {
  DetectionLabel vehicle;
  vehicle.name = "vehicle";
  vehicle.categories = {"vehicle.car", "vehicle.truck", "vehicle.bus.rigid", "vehicle.bus.bendy", "vehicle.trailer"};
  vehicle.range = 60;
  vehicle.colour = {1, 2, 3};
  vehicle.resting = Attribute::vehicle_parked;
  vehicle.travelling = Attribute::vehicle_moving;
  DetectionLabel walker;
  walker.name = "walker";
  walker.categories = {"human.pedestrian.adult", "human.pedestrian.child"};
  walker.point = true;
  walker.colour = {4, 5, 6};
  sets.detection.add("road_users", {vehicle, walker});
}

/// The program's kinds, and these sets.
Kinds more_kinds() {
  Kinds more = kinds();
  register_traffic_map(more.labels);
  register_road_users(more.labels);
  return more;
}

/// Adds layers to every map of a data set: `road_segment`, the polygons of the drivable area, which a standard mask shows, and
/// two of lines, of which `tram_track` has the road dividers and `train_track` nothing.
void add_layers(const std::filesystem::path& root) {
  for (const auto& entry : std::filesystem::directory_iterator(root / "maps" / "expansion")) {
    nlohmann::json map = nlohmann::json::parse(std::ifstream(entry.path()));
    map["road_segment"] = nlohmann::json::array();
    for (const auto& area : map.at("drivable_area")) {
      for (const auto& polygon : area.at("polygon_tokens")) {
        map["road_segment"].push_back({{"token", area.at("token")}, {"polygon_token", polygon}, {"is_intersection", false}});
      }
    }
    map["tram_track"] = map.at("road_divider");
    map["train_track"] = nlohmann::json::array();
    std::ofstream(entry.path()) << map;
  }
}

/// Four synthetic samples whose maps have the new layers.
struct Data {
  Data() {
    SynthOptions options = SynthOptions::tiny();
    options.out = folder.path() / "set";
    options.scenes = 2;
    options.samples = 2;
    options.sweeps = 1;
    options.seed = 21;
    generate(options);
    add_layers(options.out);
    tables = read_tables(options.out, options.version);
    for (std::size_t i = 0; i < tables.samples.size(); ++i) rows.push_back(static_cast<RowIndex>(i));
  }

  testing::TemporaryFolder folder;
  Tables tables;
  std::vector<RowIndex> rows;
};

const Data& data() {
  static const Data once;
  return once;
}

RunConfig tiny(const Kinds& with, const char* map, const char* boxes) {
  RunConfig config = run_of_size("tiny");
  config.data.root = data().tables.root.string();
  config.model.map_label_set = map;
  config.model.detection_label_set = boxes;
  config.loading.sweeps = 1;
  config.loading.augment = false;
  config.training.epochs = 1;
  config.training.batch = 2;
  complete(config, with.labels);
  check(config, with.labels);
  return config;
}

std::vector<MapMasks> masks_of(const LoadingOptions& loading) {
  const SampleLoader loader(data().tables, loading);
  std::vector<MapMasks> masks;
  for (const RowIndex row : data().rows) masks.push_back(loader.load(row, 0).masks);
  return masks;
}

std::vector<std::uint8_t> plane(const MapMasks& masks, std::string_view label) {
  const auto size = static_cast<std::ptrdiff_t>(masks.cells) * masks.cells;
  const auto first = masks.values.begin() + size * static_cast<std::ptrdiff_t>(index_of(masks.labels, label));
  return {first, first + size};
}

std::int64_t ones(const std::vector<std::uint8_t>& mask) { return std::count(mask.begin(), mask.end(), 1); }

}  // namespace

TEST_CASE("a map of other layers is drawn from the same files", "[bevfusion][labels]") {
  const Kinds with = more_kinds();
  RunConfig config = tiny(with, "traffic_map", standard_detection_labels);
  const std::vector<MapMasks> other = masks_of(config.loading);
  LoadingOptions by_standard = config.loading;
  by_standard.map_labels = standard_map();
  const std::vector<MapMasks> standard = masks_of(by_standard);
  std::int64_t road = 0;
  std::int64_t rail = 0;
  std::int64_t divider = 0;
  for (std::size_t i = 0; i < other.size(); ++i) {
    REQUIRE(other[i].labels.size() == 3);
    CHECK(other[i].labelled == std::vector<bool>(3, true));
    // The same polygons under other names, so the same cells as the standard labels have.
    CHECK((plane(other[i], "road") == plane(standard[i], "drivable_area")));
    CHECK((plane(other[i], "pavement") == plane(standard[i], "walkway")));
    road += ones(plane(other[i], "road"));
    rail += ones(plane(other[i], "rail"));
    divider += ones(plane(standard[i], "divider"));
  }
  CHECK(road > 0);
  // Road dividers alone, but twice as wide as dividers of both kinds are.
  CHECK(rail > 0);
  CHECK(rail < 2 * divider);

  // Dividers of one kind as wide as the label says, and as wide as the run says.
  config.loading.map_labels[1].line_width = 0;
  config.loading.masks.line_width = 4;
  const std::vector<MapMasks> wide = masks_of(config.loading);
  config.loading.masks.line_width = 2;
  const std::vector<MapMasks> narrow = masks_of(config.loading);
  std::int64_t narrow_rail = 0;
  for (std::size_t i = 0; i < other.size(); ++i) {
    CHECK((plane(wide[i], "rail") == plane(other[i], "rail")));
    narrow_rail += ones(plane(narrow[i], "rail"));
  }
  CHECK(narrow_rail > 0);
  CHECK(narrow_rail < rail);
  config.loading.map_labels[1].layers = {"tram_track", "canal"};
  CHECK_FALSE(masks_of(config.loading)[0].labelled[1]);  // half of its layers is no label
}

TEST_CASE("the base map stands in for the labels that say so", "[bevfusion][labels]") {
  const MapLabels labels = more_kinds().labels.map.at("traffic_map");
  BitImage picture(2000, 2000);
  for (int x = 0; x < 2000; ++x) picture.set(x, 1000);
  MaskOptions by_centres;
  by_centres.rule = "centres";
  const MapMasks masks =
      draw_masks(BaseMap(picture), labels, bev_from_global({rotation_about_z(0), {100, 99.7, 0}}), {}, by_centres);
  CHECK(masks.labelled == std::vector<bool>{true, false, false});
  // The picture's row 1000 is y = 99.9 ... 100 m, 0.2 ... 0.3 m before the LiDAR: the cells of j = 100, with their centres at
  // 0.25.
  CHECK(ones(plane(masks, "road")) == 200);
  CHECK(masks.at("road", 7, 100));
}

TEST_CASE("a network learns labels that the program does not know", "[bevfusion][labels]") {
  const Kinds with = more_kinds();
  const RunConfig config = tiny(with, "traffic_map", "road_users");
  CHECK_THROWS_AS(check(config), std::invalid_argument);  // the program's own sets do not have them

  const TrainingData training(data().tables, data().rows, config);
  const TrainingBatch batch = training.load(0, 0);
  REQUIRE(batch.batch.masks.sizes() == at::IntArrayRef({2, 3, 50, 50}));
  CHECK(batch.batch.labelled.all().item<bool>());

  Network network = make_network(config, with);
  REQUIRE(network->towers().size() == 1);
  BevFusion tower = network->towers().front();
  const torch::Tensor shared = tower->fuse(tower->branches(batch.batch.input));
  const Outputs said = labelled_outputs(tower, {shared}, batch);
  CHECK(std::any_cast<torch::Tensor>(said.at("segmentation")).sizes() == at::IntArrayRef({2, 3, 50, 50}));
  REQUIRE(said.count("detection") == 1);
  CHECK(std::any_cast<Detections>(said.at("detection")).heat_map.size(1) == 2);
  const std::vector<torch::Tensor> losses = task_losses(tower, said, batch, config);
  REQUIRE(losses.size() == 2);
  CHECK(losses[0].item<double>() > 0);
  CHECK(losses[1].item<double>() > 0);

  std::vector<torch::Tensor> before;
  for (const torch::Tensor& parameter : network->parameters()) before.push_back(parameter.detach().clone());
  const testing::TemporaryFolder folder;
  TrainerOptions options;
  options.out = folder.path();
  options.most_steps = 1;
  Trainer trainer(config, network, data().tables, data().rows, options);
  CHECK(trainer.run().steps == 1);
  std::size_t changed = 0;
  const std::vector<torch::Tensor> after = network->parameters();
  for (std::size_t i = 0; i < after.size(); ++i) {
    CHECK(torch::isfinite(after[i]).all().item<bool>());
    changed += torch::equal(after[i], before[i]) ? 0 : 1;
  }
  CHECK(changed > after.size() / 2);

  const EvaluationFigures figures = evaluate(network, data().tables, data().rows, config);
  const MaskFigures& map = *figures.of<MaskFigures>("segmentation");
  CHECK(map.names() == std::vector<std::string>{"road", "rail", "pavement"});
  const std::vector<MapMasks> truth = masks_of(config.loading);
  for (std::size_t c = 0; c < 3; ++c) {
    std::int64_t cells = 0;
    for (const MapMasks& masks : truth) cells += ones(plane(masks, map.names()[c]));
    const CellCounts counts = map.protocol().counts(c, 0);
    CHECK(static_cast<std::int64_t>(counts.true_positives + counts.false_negatives) == cells);
  }
  const auto json = figures_json(figures, {});
  CHECK(json.at("segmentation").size() == 3);
  CHECK(json.at("segmentation").at("road").at("labelled") == true);
  CHECK(json.at("detection").at("mean_dist_aps").size() == 2);
  CHECK(json.at("detection").at("cfg").at("class_range").at("vehicle") == 60.0);
  const std::string table = figures_text(figures);
  for (const char* name : {"road", "rail", "pavement", "vehicle", "walker"}) {
    INFO(table);
    CHECK(table.find(name) != std::string::npos);
  }
}

TEST_CASE("boxes of other labels are read, submitted and evaluated", "[bevfusion][labels]") {
  const DetectionLabels labels = more_kinds().labels.detection.at("road_users");
  const std::set<DetectionClass> vehicles = {DetectionClass::car, DetectionClass::truck, DetectionClass::bus,
                                             DetectionClass::trailer};
  std::vector<EvaluationSample> samples;
  Submission submission;
  std::ptrdiff_t count = 0;
  for (const RowIndex row : data().rows) {
    const KeyFrame standard = key_frame_of(data().tables, row);
    const KeyFrame frame = key_frame_of(data().tables, row, {1, labels});
    const auto in = [&](const std::vector<Box3D>& boxes, auto&& is) { return std::count_if(boxes.begin(), boxes.end(), is); };
    const auto as = [](int label) {
      return [label](const Box3D& box) { return box.label == static_cast<DetectionClass>(label); };
    };
    CHECK(in(frame.boxes, as(0)) == in(standard.boxes, [&](const Box3D& box) { return vehicles.count(box.label) > 0; }));
    CHECK(in(frame.boxes, as(1)) == in(standard.boxes, [](const Box3D& b) { return b.label == DetectionClass::pedestrian; }));
    count += static_cast<std::ptrdiff_t>(frame.boxes.size());
    samples.push_back(evaluation_sample(data().tables, row, labels));
    std::vector<DetectionBox> said;
    for (const Box3D& box : frame.boxes) said.push_back(submitted_box(box, 0.5, frame.global_from_lidar(), labels));
    submission.results.emplace_back(samples.back().token, said);
  }
  REQUIRE(count > 10);
  std::stringstream file;
  write_submission(file, submission, evaluated_classes(labels));
  CHECK(file.str().find("\"detection_name\":\"vehicle\"") != std::string::npos);
  DetectionConfig protocol;
  protocol.classes = evaluated_classes(labels);
  samples = join(samples, read_submission(file, "submission.json", protocol.classes));
  const DetectionSummary summary = evaluate_detection(samples, protocol).summary;
  REQUIRE(summary.mean_distance_aps.size() == 2);
  CHECK(summary.truth_counts[0] > 0);
  CHECK(summary.mean_distance_aps[0] == Approx(1).epsilon(1e-12));  // what is true was said
  file.clear();
  file.seekg(0);
  CHECK_THROWS_AS(read_submission(file, "submission.json"), DataError);  // nuScenes' own ten have no vehicle
}

TEST_CASE("pictures are in the labels' colours", "[bevfusion][labels]") {
  const LabelSets& sets = more_kinds().labels;
  MapMasks masks(sets.map.at("traffic_map"), 200);
  masks.values[static_cast<std::size_t>(150 * 200 + 20)] = 1;  // road at x = 25.25, y = -39.75
  BevPicture picture({50, 200});
  picture.draw(masks);
  // Three parts of the colour on one of white.
  for (std::size_t c = 0; c < 3; ++c) {
    CHECK(picture.image().pixel(150, 179)[c] == std::lround(0.25 * 255 + 0.75 * road_colour[c]));
  }
  Box3D box;
  box.center = {0, 0, 0};
  box.size = {2, 4, 1.5};
  box.label = static_cast<DetectionClass>(1);
  picture.draw({box}, sets.detection.at("road_users"), 1);
  const std::uint8_t* corner = picture.image().pixel(96, 98);  // x = -2 m, y = 1 m
  CHECK((corner[0] == 4 && corner[1] == 5 && corner[2] == 6));
}

TEST_CASE("a set of labels is refused that cannot be one", "[bevfusion][labels]") {
  LabelSets sets = label_sets();
  CHECK_THROWS_AS(sets.map.add("empty", {}), std::logic_error);
  CHECK_THROWS_AS(sets.map.add("twins", {{"a", {"x"}}, {"a", {"y"}}}), std::logic_error);
  CHECK_THROWS_AS(sets.map.add("nameless", {{"", {"x"}}}), std::logic_error);
  CHECK_THROWS_AS(sets.map.add("nowhere", {{"a", {}}}), std::logic_error);
  CHECK_THROWS_AS(sets.map.add(standard_map_labels, {{"a", {"x"}}}), std::logic_error);
  CHECK_THROWS_AS(sets.detection.add("nothing", {DetectionLabel()}), std::logic_error);
}
