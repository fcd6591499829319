// SPDX-License-Identifier: Apache-2.0
// The config of a run: its fields as TOML and as options, and what is refused.
#include <filesystem>
#include <fstream>
#include <functional>
#include <sstream>
#include <utility>

#include <unistd.h>

#include "bevfusion/config/config_fields.hpp"
#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/config_option.hpp"
#include "bevfusion/config/run_options.hpp"
#include "bevfusion/tests/support/refusal.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;
using bevfusion::testing::refusal;
namespace fs = std::filesystem;

const fs::path configs = fs::path(FULLER_SOURCE_DIR) / "examples/bevfusion/configs";

/// A file with this text, gone with the object.
class TextFile {
 public:
  explicit TextFile(const std::string& text)
      : path_(fs::temp_directory_path() / ("fuller_config_" + std::to_string(++count) + ".toml")) {
    std::ofstream(path_) << text;
  }
  ~TextFile() { fs::remove(path_); }
  TextFile(const TextFile&) = delete;
  TextFile& operator=(const TextFile&) = delete;
  const fs::path& path() const { return path_; }

 private:
  inline static int count = 0;
  fs::path path_;
};

std::string written(const RunConfig& config) {
  std::ostringstream text;
  write_config(config, text);
  return text.str();
}

/// What reading `text` over the defaults of tiny gives, without the checks across fields.
RunConfig over_tiny(const std::string& text) {
  const TextFile file(text);
  RunConfig config = run_of_size("tiny");
  apply(read_entries(file.path()), config, "text");
  return config;
}

/// Nothing where all parts are in the text, else the text, for a failed check to show.
std::string lacking(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (text.find(part) == std::string::npos) {
      return "'" + part + "' is not in: " + text;
    }
  }
  return "";
}

/// Changes a field to another value that it may have; false where there is none.
struct Change {
  const ConfigField& field;

  double other(double value) const {
    for (const double candidate : {value * 1.25, value * 0.75, value + 1, value - 1, (field.least + field.most) / 2}) {
      if (candidate != value && candidate >= field.least && candidate <= field.most) {
        return candidate;
      }
    }
    return value;
  }
  bool operator()(bool* value) const {
    *value = !*value;
    return true;
  }
  bool operator()(MaskReduction* value) const {
    *value = *value == MaskReduction::mean ? MaskReduction::sum_of_class_means : MaskReduction::mean;
    return true;
  }
  bool operator()(std::string* value) const {
    *value = field.choices.empty() ? *value + "a b, c=d/[e]" : *value == field.choices[0] ? field.choices[1] : field.choices[0];
    return true;
  }
  bool operator()(std::vector<std::int64_t>* value) const {
    value->push_back(7);
    return true;
  }
  bool operator()(std::array<double, 3>* value) const {
    (*value)[1] += 1.0 / 3;  // needs all digits
    return true;
  }
  bool operator()(double* value) const { return std::exchange(*value, other(*value)) != *value; }
  bool operator()(float* value) const { return std::exchange(*value, static_cast<float>(other(*value))) != *value; }
  template <class Integer>
  bool operator()(Integer* value) const {
    const Integer before = *value;
    *value = static_cast<double>(before) + 1 <= field.most ? before + 1 : before - 1;
    return static_cast<double>(*value) >= field.least;
  }
};

TEST_CASE("a config reads back as it was written", "[bevfusion][config]") {
  for (const char* size : {"tiny", "small", "full"}) {
    INFO(size);
    const RunConfig config = run_of_size(size);
    const TextFile file(written(config));
    const RunConfig read = read_config(file.path());
    CHECK(differences(config, read).empty());
    CHECK(written(read) == written(config));
    CHECK(read.model.voxels.size == config.model.voxels.size);
    CHECK(read.training.learning_rate == config.training.learning_rate);
    CHECK(read.loading.image.width == config.loading.image.width);
  }
}

TEST_CASE("every field's change is written, read and seen", "[bevfusion][config]") {
  const RunConfig tiny = run_of_size("tiny");
  RunConfig counted = tiny;
  const std::size_t count = fields_of(counted).size();
  std::vector<std::string> fixed;
  for (std::size_t i = 0; i < count; ++i) {
    RunConfig changed = tiny;
    const ConfigField field = fields_of(changed)[i];
    INFO(field.name);
    if (!std::visit(Change{field}, field.value)) {
      fixed.push_back(field.name);
      continue;
    }
    CHECK(differences(tiny, changed) == std::vector<std::string>{field.name});
    const RunConfig read = over_tiny(written(changed));
    CHECK(differences(changed, read).empty());
  }
  CHECK(fixed == std::vector<std::string>{"model.voxel_net.inputs", "model.pillars.inputs", "model.swin.patch"});
}

/// Turns into anything, so that a struct's members can be counted.
struct Anything {
  template <class T>
  operator T() const;
};

template <class T, std::size_t... I>
auto takes(std::index_sequence<I...>) -> decltype(T{(static_cast<void>(I), Anything{})...}, std::true_type{});
template <class T>
std::false_type takes(...);

template <class T, std::size_t N = 64>
constexpr std::size_t members() {
  if constexpr (N == 0 || decltype(takes<T>(std::make_index_sequence<N>{}))::value) {
    return N;
  } else {
    return members<T, N - 1>();
  }
}

TEST_CASE("no member of a config is without a field", "[bevfusion][config]") {
  RunConfig config;
  const auto fields = [&config](const std::string& section) {
    std::size_t count = 0;
    for (const ConfigField& field : fields_of(config)) {
      count += field.section() == section ? 1U : 0U;
    }
    return count;
  };
  // Members that are structs themselves, and members that are filled in, are none of a section's fields.
  // A switch for each task but those that only split another's loss.
  CHECK(members<ModelParts>() - 1 + head_sheets().size() == fields("model.parts"));
  CHECK(members<VoxelGrid>() == fields("model.voxels"));
  CHECK(members<VoxelNetOptions>() == fields("model.voxel_net"));
  CHECK(members<PillarOptions>() == fields("model.pillars"));
  CHECK(members<SwinOptions>() == fields("model.swin"));
  CHECK(members<LiftSplatOptions>() == fields("model.lift_splat"));
  CHECK(members<SecondOptions>() == fields("model.bev") + 1);  // inputs
  // inputs, classes, point_classes; moving_speed is the model's
  CHECK(members<FullerDetOptions>() == fields("model.detection") + 3 - 1);
  CHECK(members<CentreLimits>() == fields("model.detection.limits"));
  CHECK(members<FullerSegOptions>() == fields("model.segmentation") + 3);  // inputs, classes; mask
  CHECK(members<MaskGrid>() == fields("model.segmentation.mask"));
  CHECK(members<ModelConfig>() == fields("model") + 10 + 1);  // ten structs; moving_speed
  CHECK(members<DataConfig>() == fields("data"));
  // lidar, cameras, camera_slots, seed, two sets of labels; six structs
  CHECK(members<LoadingOptions>() == fields("loading") + 12);
  CHECK(members<PasteOptions>() == fields("loading.paste"));
  CHECK(members<PointOptions>() == fields("loading.points"));
  CHECK(members<ImageAugmentationOptions>() == fields("loading.image") + 2);  // width, height
  CHECK(members<BevAugmentationOptions>() == fields("loading.bev"));
  CHECK(members<MaskOptions>() == fields("loading.masks"));
  CHECK(members<TrainingConfig>() == fields("training"));
  CHECK(members<LossConfig>() - 1 + head_sheets().size() == fields("losses") + 2);  // a weight for each task; two structs
  CHECK(members<DetectionLossOptions>() == fields("losses.detection") + 4);         // four structs
  CHECK(members<CodeWeights>() == fields("losses.detection.code"));
  CHECK(members<FocalOptions>() == fields("losses.detection.focal"));
  CHECK(members<MatchingWeights>() == fields("losses.detection.matching"));
  CHECK(members<GaussianOptions>() == fields("losses.detection.gaussian"));
  CHECK(members<FocalOptions>() == fields("losses.segmentation_focal"));
  CHECK(members<CalibrationConfig>() == fields("calibration"));
  CHECK(members<InitConfig>() == fields("init"));
}

TEST_CASE("files with unknown keys, wrong values or keys twice are refused by name", "[bevfusion][config]") {
  const auto says = [](const std::string& text) {
    const TextFile file(text);
    const std::string error = refusal<std::exception>([&] { read_config(file.path()); });
    CHECK(error.find(file.path().string()) != std::string::npos);
    return error;
  };
  CHECK(lacking(says("[training]\nbatches = 4\n"), {"there is no field 'training.batches'"}) == "");
  CHECK(lacking(says("[model]\nlearning_rate = 4\n"), {"did you mean training.learning_rate"}) == "");
  CHECK(lacking(says("[training]\nepochs = \"many\"\n"), {"training.epochs"}) == "");
  CHECK(lacking(says("[training]\nepochs = 0\n"), {"training.epochs", "0 is out of range; it may be 1 ... 1000000000"}) == "");
  CHECK(lacking(says("[training]\nepochs = 1.5\n"), {"training.epochs"}) == "");
  CHECK(lacking(says("[training]\nlearning_rate = nan\n"), {"training.learning_rate"}) == "");
  CHECK(lacking(says("[training]\nepochs = [3, 4]\n"), {"training.epochs"}) == "");
  CHECK(lacking(says("[model.voxels]\nsize = [0.1, 0.1]\n"), {"model.voxels.size"}) == "");
  CHECK(lacking(says("[calibration]\nrule = \"imtl\"\n"), {"calibration.rule", "imtl_g"}) == "");
  CHECK(lacking(says("[losses]\nmask_reduction = \"sum\"\n"), {"losses.mask_reduction"}) == "");
  CHECK(lacking(says("[model.parts]\nlidar = \"maybe\"\n"), {"model.parts.lidar"}) == "");
  CHECK(lacking(says("[training]\nepochs = 3\nbatch = 2\nepochs = 4\n"), {".toml:4:", "epochs"}) == "");
  CHECK(lacking(says("size = \"huge\"\n"), {"huge"}) == "");
  CHECK(lacking(says("not a config\n"), {".toml:1:"}) == "");
  CHECK(lacking(refusal<std::exception>([] { read_config("/nowhere/run.toml"); }), {"/nowhere/run.toml"}) == "");
  CHECK(lacking(says("[training]\n\nbatches = 4\n"), {".toml:3:1: there is no field", "did you mean training.batch?"}) == "");
  CHECK(lacking(says("[trainig]\nepochs = 4\n"), {"trainig.epochs", "did you mean training.epochs?"}) == "");
  CHECK(lacking(says("[calibration]\nrul = 'none'\n"), {"did you mean calibration.rule?"}) == "");
  CHECK(lacking(says("[training]\nbatch = 2\n  epochs = 0\n"), {".toml:3:3: training.epochs = 0: 0 is out of range"}) == "");
  CHECK(lacking(says("[training]\nepochs = 1979-05-27\n"), {".toml:2:", "training.epochs"}) == "");
  CHECK(lacking(says("[training]\nepochs = []\n"), {".toml:2:", "training.epochs has no value"}) == "");
  CHECK(lacking(says("[training]\nepochs = 99999999999999999999\n"), {".toml:2:"}) == "");
  CHECK(lacking(says("[training]\nseed = -1\n"), {"training.seed = -1"}) == "");
  RunConfig config = run_of_size("tiny");
  config.data.root = "a\xFF";
  CHECK(lacking(refusal<std::exception>([&] { written(config); }), {"no UTF-8"}) == "");
}

TEST_CASE("files are TOML as TOML is written", "[bevfusion][config]") {
  const auto epochs = [](const std::string& text) { return over_tiny(text).training.epochs; };
  CHECK(epochs("[training] # how long\nepochs = 3 # not many\n") == 3);
  CHECK(epochs("\xEF\xBB\xBF[training]\r\nepochs = 3\r\n") == 3);  // as editors on Windows write it
  CHECK(epochs("training.epochs = 3\n") == 3);
  CHECK(epochs("training = { epochs = 3 }\n") == 3);
  CHECK(epochs("[ training ]\n\"epochs\" = 1_000\n") == 1000);
  CHECK(over_tiny("[model.bev]\nchannels = [\n  8, # first\n  16,\n]\n").model.bev.channels == std::vector<std::int64_t>{8, 16});
  CHECK(over_tiny("[data]\nroot = 'C:\\new # 1'\n").data.root == "C:\\new # 1");
  CHECK(over_tiny("[data]\nroot = \"a\\tb\\u00e9\"\n").data.root == "a\tb\xC3\xA9");
  for (const char* root : {"a # b", "say \"no\"", "it's `so`", "C:\\new", "two\nlines\t\x7f", "caf\xC3\xA9", "", "[x] = 1"}) {
    INFO(root);
    RunConfig config = run_of_size("tiny");
    config.data.root = root;
    CHECK(over_tiny(written(config)).data.root == root);
  }
}

TEST_CASE("a run's config has all fields, or is damaged", "[bevfusion][config]") {
  const fs::path folder = fs::temp_directory_path() / ("fuller_run_config_" + std::to_string(getpid()));
  fs::create_directories(folder);
  const std::string whole = written(run_of_size("tiny"));
  const auto read = [&folder](const std::string& text) {
    std::ofstream(folder / "config.toml") << text;
    return refusal<std::exception>([&folder] { read_run_config(folder); });
  };
  CHECK(read(whole) == "");
  CHECK(lacking(read(""), {(folder / "config.toml").string(), "lacks size, ", "more fields"}) == "");
  CHECK(lacking(read(whole.substr(0, whole.find("[init]"))), {"lacks init.lidar, "}) == "");
  const std::size_t names = whole.rfind("camera_names");
  CHECK(lacking(read(whole.substr(0, names)), {"lacks init.camera_names, tasks."}) == "");
  CHECK(lacking(read(whole.substr(0, names) + whole.substr(whole.find('\n', names) + 1)), {"lacks init.camera_names."}) == "");
  // A run of before a task was there names none of its fields; where some are there, the others were lost.
  const auto without = [](std::string text, const std::string& line) {
    const std::size_t at = text.find("\n" + line);
    return text.erase(at, text.find('\n', at + 1) - at);
  };
  const std::string no_switch = without(whole, "foreground = ");
  CHECK(lacking(read(no_switch), {"lacks model.parts.foreground."}) == "");
  CHECK(read(without(no_switch, "foreground_weight = ")) == "");
  const std::size_t distillation = whole.find("\n[distillation]");
  CHECK(read(whole.substr(0, distillation) + whole.substr(whole.find("\n[init]"))) == "");
  CHECK(lacking(read(without(whole, "least_score = ")), {"lacks distillation.least_score."}) == "");
  fs::remove_all(folder);
  CHECK(lacking(refusal<std::exception>([&folder] { read_run_config(folder); }), {folder.string(), "no config.toml"}) == "");
}

RunConfig parsed(const std::vector<std::string>& words) {
  CLI::App app;
  const RunOptions options(app);
  app.parse(std::vector<std::string>(words.rbegin(), words.rend()));
  return options.config();
}

TEST_CASE("teachers are given one by one or in a list", "[bevfusion][config]") {
  CHECK(parsed({"--size", "tiny", "--teacher", "detection=a", "--teacher=segmentation=b/c"}).distillation.teachers ==
        "detection=a,segmentation=b/c");
  CHECK(parsed({"--size", "tiny", "--teacher", "detection=a, segmentation=b"}).distillation.teachers ==
        "detection=a, segmentation=b");
}

TEST_CASE("the command line goes before the file, and both before the size's defaults", "[bevfusion][config]") {
  const TextFile file("size = \"small\"\n[training]\nepochs = 3\nbatch = 2\n[model.parts]\nforeground = true\n");
  const std::string path = file.path().string();
  RunConfig expected = run_of_size("small");
  CHECK(differences(parsed({"--size", "small"}), expected).empty());
  expected.training.epochs = 5;
  expected.training.batch = 2;
  expected.model.parts.tasks["foreground"] = true;
  CHECK(differences(parsed({"--config", path, "--epochs", "5"}), expected).empty());
  CHECK(differences(parsed({"--training.epochs=5", "--config", path}), expected).empty());

  const RunConfig tiny = parsed({"--config", path, "--size", "tiny", "--model.bev.channels", "8", "16", "--lidar", "false",
                                 "--gate", "none", "--losses.mask_reduction", "sum_of_class_means"});
  CHECK(tiny.model.fused == run_of_size("tiny").model.fused);
  CHECK(tiny.training.epochs == 3);
  CHECK(tiny.model.bev.channels == std::vector<std::int64_t>{8, 16});
  CHECK_FALSE(tiny.model.parts.lidar);
  CHECK_FALSE(tiny.loading.lidar);
  CHECK(tiny.losses.mask_reduction == MaskReduction::sum_of_class_means);

  CHECK(differences(parsed({}), run_of_size("full")).empty());
  CHECK_THROWS_AS(parsed({"--epochs", "0"}), CLI::ParseError);
  CHECK_THROWS_AS(parsed({"--rule", "imtl"}), CLI::ParseError);
  CHECK_THROWS_AS(parsed({"--batches", "3"}), CLI::ParseError);
  CHECK_THROWS_AS(parsed({"--config", "/nowhere/run.toml"}), CLI::ParseError);
  CHECK_THROWS_AS(parsed({"--lidar", "false"}), std::invalid_argument);  // a gate needs both branches
}

TEST_CASE("a run's config is taken over with what the command line changes", "[bevfusion][config]") {
  CLI::App app;
  const RunOptions options(app);
  app.parse(std::vector<std::string>{"x", "--data"});
  RunConfig base = run_of_size("tiny");
  base.training.epochs = 3;
  const RunConfig changed = options.over(base);
  CHECK(differences(base, changed) == std::vector<std::string>{"data.root"});
  CHECK(changed.data.root == "x");
}

TEST_CASE("help shows what is chosen often, help-all everything", "[bevfusion][config]") {
  CLI::App app;
  const RunOptions options(app);
  RunConfig config;
  const std::vector<ConfigField> fields = fields_of(config);
  const std::string brief = app.help();
  std::size_t common = 0;
  for (const ConfigField& field : fields) {
    INFO(field.name);
    CHECK((brief.find("--" + field.name) != std::string::npos) == !field.alias.empty());
    common += field.alias.empty() ? 0U : 1U;
  }
  CHECK(common <= 25);
  CHECK_THROWS_AS(app.parse(std::vector<std::string>{"--help-all"}), CLI::CallForHelp);
  const std::string all = app.help();
  for (const ConfigField& field : fields) {
    INFO(field.name);
    CHECK(all.find("--" + field.name) != std::string::npos);
    CHECK(all.find(field.help.substr(0, 15)) != std::string::npos);
  }
}

/// What check() says of a size's defaults with a change.
std::string says(const std::string& size, const std::function<void(RunConfig&)>& change) {
  RunConfig config = run_of_size(size);
  change(config);
  return refusal<std::exception>([&] { check(config); });
}

TEST_CASE("what makes no run is refused in words", "[bevfusion][config]") {
  CHECK(says("tiny", [](RunConfig&) {}).empty());
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.training.epochs = 0; }), {"training.epochs is 0"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.training.clip = -1; }), {"training.clip"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.calibration.rule = "magic"; }), {"calibration.rule is 'magic'"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.data.labels = "none"; }), {"disjoint_balance"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.training.precision = "float16"; }), {"cuda"}) == "");
  CHECK(says("tiny", [](RunConfig& c) { c.training.precision = "float16", c.training.device = "cuda:1"; }).empty());
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.training.device = "gpu"; }), {"training.device is 'gpu'"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.training.device = "cuda:"; }), {"training.device"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.model.parts.lidar = false; }), {"calibration.gate"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.model.separate_towers = true; }), {"calibration.rule to none"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.model.lift_splat.image_width = 170; }), {"multiples of 8"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.lift_splat.image_width = 712; }), {"multiples of 32"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.bev_cell = 0.7; }), {"model.bev_cell"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.voxels.size[0] = 0.2; }), {"model.voxel_net.channels"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.voxels.size[2] = 0.3; }), {"whole number"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.detection.heads = 3; }), {"model.detection.heads"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.swin.heads = {3, 6, 12}; }), {"four stages"}) == "");
  CHECK(lacking(says("full",
                     [](RunConfig& c) {
                       c.model.parts.tasks["foreground"] = true;
                       c.model.foreground_masks = 2;
                     }),
                {"1, 3 or 10"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.fuser = "attention"; }),
                {"concat, cross_attention, direct, joint_attention"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.map_classes = "pavement"; }), {"pavement"}) == "");
  CHECK(lacking(says("full", [](RunConfig& c) { c.model.lidar_backbone = "pillars", c.model.pillars.cell = 0.3; }),
                {"model.pillars.cell"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.losses.tasks = "split_detection"; }), {"all_shared"}) == "");
  CHECK(lacking(says("tiny", [](RunConfig& c) { c.calibration.rule = "wpcgrad", c.calibration.priorities = "seg_to_vel"; }),
                {"velocity"}) == "");
  CHECK(
      lacking(says("tiny", [](RunConfig& c) { c.model.parts.tasks["segmentation"] = false, c.data.labels = "disjoint_normal"; }),
              {"data.labels"}) == "");
}

TEST_CASE("the config files are the sizes' defaults, and the short ones change what they say", "[bevfusion][config]") {
  for (const char* size : {"tiny", "small", "full"}) {
    INFO(size);
    std::ifstream file(configs / (std::string(size) + ".toml"));
    const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
    CHECK(text == written(run_of_size(size)));
  }
  using Names = std::vector<std::string>;
  const RunConfig full = run_of_size("full");
  const auto changed = [&full](const char* name) { return differences(full, read_config(configs / name)); };
  CHECK(changed("baseline.toml") == Names{"calibration.rule", "calibration.gate"});
  CHECK(changed("lidar_only.toml") ==
        Names{"model.parts.camera", "model.parts.segmentation", "training.epochs", "calibration.rule", "calibration.gate"});
  CHECK(changed("camera_only.toml") == Names{"model.parts.lidar", "calibration.gate"});
  CHECK(changed("detection_only.toml") ==
        Names{"model.parts.segmentation", "training.epochs", "training.learning_rate", "calibration.rule", "calibration.gate"});
  CHECK(read_config(configs / "detection_only.toml").training.epochs == 7);
  CHECK(read_config(configs / "detection_only.toml").training.learning_rate == 1e-4);
  CHECK(changed("foreground_only.toml") == Names{"model.parts.detection", "model.parts.segmentation", "model.parts.foreground",
                                                 "calibration.rule", "calibration.gate"});
  CHECK(changed("separate_bev.toml") == Names{"model.separate_bev", "calibration.rule", "calibration.gate"});
  CHECK(changed("voxels_0075.toml") == Names{"model.bev_range", "model.bev_cell", "model.voxels.lowest", "model.voxels.highest",
                                             "model.voxels.size", "model.voxels.most_voxels", "model.pillars.cell",
                                             "model.lift_splat.range", "model.lift_splat.cell", "model.segmentation.map_range"});
  CHECK(changed("segmentation_only.toml") == Names{"model.parts.detection", "calibration.rule", "calibration.gate"});
  CHECK(changed("separate_towers.toml") == Names{"model.separate_towers", "calibration.rule", "calibration.gate"});
  CHECK(changed("three_tasks.toml") == Names{"model.parts.foreground"});
  CHECK(changed("driver.toml") == Names{"model.parts.waypoints", "model.parts.controls", "model.parts.speed",
                                        "model.parts.red_light", "model.parts.camera_segmentation"});
  CHECK(changed("dmfuser_paper.toml") == Names{"model.fuser", "calibration.rule", "calibration.gate", "distillation.teachers"});
  CHECK(changed("dmfuser_repository.toml") == Names{"model.fuser", "model.parts.detection", "model.parts.controls",
                                                    "model.parts.speed", "model.parts.red_light", "calibration.rule",
                                                    "calibration.gate", "distillation.twins", "distillation.twins_share",
                                                    "distillation.response", "distillation.features", "distillation.ramp"});
  CHECK(changed("four_tasks.toml") == Names{"losses.tasks", "calibration.rule", "calibration.gate"});
  CHECK(changed("unified.toml") == Names{"model.detection_head", "model.segmentation_head", "model.map_label_set", "losses.tasks",
                                         "calibration.rule", "calibration.gate"});
  for (const auto& entry : fs::directory_iterator(configs)) {  // each also at the size that is trained in seconds
    if (!entry.is_regular_file()) {
      continue;
    }
    INFO(entry.path().filename().string());
    CHECK(parsed({"--config", entry.path().string(), "--size", "tiny"}).size == "tiny");
  }
}

}  // namespace
