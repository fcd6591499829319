// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>

#include "bevfusion/config/calibration_choice.hpp"
#include "bevfusion/config/check_distillation.hpp"
#include "bevfusion/config/check_parts.hpp"
#include "bevfusion/config/config_fields.hpp"
#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/labels.hpp"
#include "support/number_range.hpp"

namespace bevfusion {
namespace {

bool whole(double number) { return std::abs(number - std::round(number)) < 1e-6 * std::max(1.0, std::abs(number)); }

/// A value that a field was given without the command line or a file in between.
struct CheckField {
  const ConfigField& field;

  void number(double value) const {
    const std::string bounds = example::interval(field.least, field.most);
    require(std::isfinite(value) && value >= field.least && value <= field.most, field.name, " is ", value,
            bounds.empty() ? "" : "; it may be ", bounds);
  }
  void operator()(const bool*) const {}
  void operator()(const MaskReduction*) const {}
  void operator()(const std::string* value) const {
    if (field.choices.empty() || std::find(field.choices.begin(), field.choices.end(), *value) != field.choices.end()) {
      return;
    }
    std::string known;
    for (const std::string& choice : field.choices) {
      known += (known.empty() ? "" : ", ") + choice;
    }
    require(false, field.name, " is '", *value, "'; it may be ", known);
  }
  template <class Number>
  void operator()(const Number* value) const {
    number(static_cast<double>(*value));
  }
  void operator()(const std::vector<std::int64_t>* values) const {
    for (const std::int64_t value : *values) {
      number(static_cast<double>(value));
    }
  }
  void operator()(const std::array<double, 3>* values) const {
    std::for_each(values->begin(), values->end(), [this](double v) { number(v); });
  }
};

void check_grid(const ModelConfig& model) {
  const double cells = 2 * model.bev_range / model.bev_cell;
  require(whole(cells) && std::llround(cells) % 2 == 0, "model.bev_cell: ", 2 * model.bev_range, " m in cells of ",
          model.bev_cell, " m are ", cells, " cells; an even number is needed");
  require(model.bev_backbone != "second" || model.bev.channels.size() == 2, "model.bev.channels has ", model.bev.channels.size(),
          " values; SECOND has two blocks");
}

void check_voxel_net(const ModelConfig& model) {
  const VoxelGrid& voxels = model.voxels;
  const std::size_t stages = model.voxel_net.channels.size();
  require(stages >= 1, "model.voxel_net.channels is empty; a stage at least is needed");
  constexpr const char* axes = "xyz";
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const double cells = (voxels.highest[axis] - voxels.lowest[axis]) / voxels.size[axis];
    require(cells > 0.5 && whole(cells), "model.voxels: ", voxels.lowest[axis], " ... ", voxels.highest[axis], " m along ",
            axes[axis], " are ", cells, " voxels of ", voxels.size[axis], " m; a whole number is needed");
    if (axis < 2) {
      require(alike(voxels.lowest[axis], -model.bev_range) && alike(voxels.highest[axis], model.bev_range),
              "model.voxels reach from ", voxels.lowest[axis], " to ", voxels.highest[axis], " m along ", axes[axis],
              ", model.bev_range is ", model.bev_range);
      const double bev = cells / std::pow(2, static_cast<double>(stages) - 1);
      require(alike(bev, 2 * model.bev_range / model.bev_cell), "model.voxels: ", cells, " voxels along ", axes[axis],
              ", halved ", stages - 1, " times by model.voxel_net.channels, are ", bev, " cells; model.bev_cell asks for ",
              2 * model.bev_range / model.bev_cell);
    }
  }
}

void check_pillars(const ModelConfig& model) {
  const double halvings = std::log2(model.bev_cell / model.pillars.cell);
  require(halvings > -1e-6 && whole(halvings), "model.pillars.cell is ", model.pillars.cell,
          "; it has to be model.bev_cell halved any number of times, and that is ", model.bev_cell);
  for (std::size_t axis = 0; axis < 2; ++axis) {
    require(alike(model.voxels.lowest[axis], -model.bev_range) && alike(model.voxels.highest[axis], model.bev_range),
            "model.voxels.lowest and highest, between which pillars stand, have to be -model.bev_range and model.bev_range in x "
            "and y");
  }
}

void check_camera(const ModelConfig& model, const Kinds& kinds) {
  const LiftSplatOptions& lift = model.lift_splat;
  const auto multiple = kinds.picture_multiples.find(model.image_backbone);
  const std::int64_t stride = multiple == kinds.picture_multiples.end() ? 8 : multiple->second;
  require(lift.image_height % stride == 0 && lift.image_width % stride == 0, "model.lift_splat: pictures of ", lift.image_width,
          " x ", lift.image_height, " pixels; model.image_backbone ", model.image_backbone, " needs multiples of ", stride);
  require(alike(lift.range, model.bev_range), "model.lift_splat.range is ", lift.range, ", model.bev_range ", model.bev_range,
          "; they have to be equal");
  const double expected = lift.downsample ? model.bev_cell / 2 : model.bev_cell;
  require(alike(lift.cell, expected), "model.lift_splat.cell is ", lift.cell, "; ", lift.downsample ? "half of " : "",
          "model.bev_cell is ", expected);
  require(lift.lowest_z < lift.highest_z, "model.lift_splat.lowest_z is not below highest_z");
  if (model.image_backbone == "swin") {
    const SwinOptions& swin = model.swin;
    require(swin.depths.size() == 4 && swin.heads.size() == 4, "model.swin.depths and heads have ", swin.depths.size(), " and ",
            swin.heads.size(), " values; Swin has four stages");
    std::int64_t channels = swin.embedding;
    for (const std::int64_t heads : swin.heads) {
      require(channels % heads == 0, "model.swin.heads: ", channels, " channels cannot be shared by ", heads, " heads");
      channels *= 2;
    }
  }
}

template <class Names>
void require_kind(const char* field, const std::string& name, const Names& registry) {
  std::string known;
  for (const std::string& kind : registry.names()) {
    if (kind == name) {
      return;
    }
    known += (known.empty() ? "" : ", ") + kind;
  }
  require(false, "model.", field, " is '", name, "'; there are: ", known);
}

/// A number that no part reads would be lost without a word: each begins with the name of a part that the model has.
void check_numbers(const ModelConfig& model) {
  number_of(model, "", 0);
  const std::vector<std::string> parts = {model.lidar_backbone, model.image_backbone, model.fuser,
                                          model.bev_backbone,   model.detection_head, model.segmentation_head};
  for (const std::string& entry : names_in(model.numbers)) {
    const std::string of = entry.substr(0, entry.find('.'));
    require(std::find(parts.begin(), parts.end(), of) != parts.end(), "model.numbers holds '", entry,
            "', and no part of the model is called '", of, "'; it is name.number=value, with the name of the part that reads it");
  }
}

/// Kinds of parts and the numbers of those that this file knows.
void check_model(const ModelConfig& model, const Kinds& kinds) {
  const LabelSets& sets = kinds.labels;
  require_kind("lidar_backbone", model.lidar_backbone, kinds.lidar_backbones);
  require_kind("image_backbone", model.image_backbone, kinds.image_backbones);
  require_kind("fuser", model.fuser, kinds.fusers);
  require_kind("bev_backbone", model.bev_backbone, kinds.bev_backbones);
  require_kind("detection_head", model.detection_head, kinds.detection_heads);
  require_kind("segmentation_head", model.segmentation_head, kinds.segmentation_heads);
  detection_labels(model, sets);
  point_labels(model, sets);
  map_labels(model, sets);
  check_numbers(model);
  check_grid(model);
  if (model.parts.lidar && model.lidar_backbone == "voxel_net") {
    check_voxel_net(model);
  }
  if (model.parts.lidar && model.lidar_backbone == "pillars") {
    check_pillars(model);
  }
  if (model.parts.camera) {
    check_camera(model, kinds);
  }
}

/// Whether a task of the model learns from labels of a kind.
bool has_labels(const RunConfig& config, TaskLabels labels) {
  const std::vector<TaskSheet> tasks = config.model.parts.tasks.chosen();
  return std::any_of(tasks.begin(), tasks.end(), [labels](const TaskSheet& task) { return task.labels == labels; });
}

void check_training(const RunConfig& config) {
  const TrainingConfig& training = config.training;
  require(is_device_name(training.device), "training.device is '", training.device,
          "'; it may be cpu, cuda, or cuda: with a number");
  require(training.precision != "float16" || training.device != "cpu",
          "training.precision float16 needs training.device cuda; the CPU takes float32 and bfloat16");
  require(training.least_beta1 <= training.most_beta1, "training.least_beta1 is above most_beta1");
  require(training.learning_rate > 0, "training.learning_rate is 0; nothing would be learnt");
  const LoadingOptions& loading = config.loading;
  const std::vector<std::string> cameras = names_in(config.data.cameras);
  require(cameras.size() <= camera_count && (!cameras.empty() || !config.model.parts.camera), "data.cameras names ",
          cameras.size(), " channels; it may be 1 to ", camera_count);
  for (const std::string& camera : cameras) {
    require(std::count(cameras.begin(), cameras.end(), camera) == 1 && camera != config.data.lidar, "data.cameras names '",
            camera, "' twice, or as data.lidar");
  }
  require(loading.image.least_resize <= loading.image.most_resize, "loading.image.least_resize is above most_resize");
  require(loading.bev.least_scale <= loading.bev.most_scale, "loading.bev.least_scale is above most_scale");
  if (loading.paste.on) {
    const ModelParts& parts = config.model.parts;
    require(parts.lidar && !parts.camera, "loading.paste.on pastes into point clouds what pictures would not show; set ",
            "model.parts.camera to false (and model.parts.lidar to true), or loading.paste.on to false");
    objects_by_label(loading.paste, loading.box_labels);
    require(loading.paste.without < training.epochs, "loading.paste.without is ", loading.paste.without, " of ", training.epochs,
            " epochs, so nothing would be pasted; set it lower, or loading.paste.on to false");
  }
  require(!config.data.one_task_batches || config.data.labels != "full",
          "data.one_task_batches is on, and with data.labels full every sample has the labels of all tasks; set it to false");
  require(
      training.rows_every == 0 || (!config.model.separate_towers && task_names(config).size() > 1),
      "training.rows_every asks for the gradients of several tasks at a layer that they share, and there is none; set it to 0");
  require(training.average != "last" || training.average_epochs <= training.epochs, "training.average_epochs is ",
          training.average_epochs, " of ", training.epochs, " epochs");
  require(training.modality_dropout == 0 || (config.model.parts.lidar && config.model.parts.camera),
          "training.modality_dropout leaves one of two sensors out, and there is one; set it to 0");
  require(!training.sync_batch_norm || config.data.labels == "full",
          "training.sync_batch_norm has ranks pass the same layers in ", "the same order, and with data.labels ",
          config.data.labels, " a rank without a task's labels does not run its head; set ", "it to false");
  require(loading.camera_dropout == 0 || config.model.parts.camera,
          "loading.camera_dropout leaves cameras out, and model.parts.camera is off; set it to 0");
  require(config.data.sampling == "uniform" || has_labels(config, TaskLabels::boxes), "data.sampling is ", config.data.sampling,
          ", which evens out the classes of boxes, and no task has boxes; set it to uniform");
}

/// Choices that other choices leave without a meaning: whoever makes them is mistaken about what will run.
void check_meaning(const RunConfig& config) {
  const ModelConfig& model = config.model;
  const CalibrationConfig& calibration = config.calibration;
  const std::size_t heads = model.parts.tasks.chosen().size();
  const bool weighs = calibration.rule != "none";
  require(task_names(config).size() > 1 || !weighs, "calibration.rule is ", calibration.rule,
          ", and there is one task; set it to none");
  require(!model.separate_towers || heads > 1, "model.separate_towers is on, and there is one task; a single network is that");
  require(!model.separate_bev || heads > 1, "model.separate_bev is on, and there is one task; it has a BEV backbone already");
  require(!model.separate_bev || !model.separate_towers,
          "model.separate_bev is on, and with model.separate_towers tasks have networks of their own anyway; choose one");
  require(weighs || calibration.gate != "none" || calibration.surface == "published", "calibration.surface is ",
          calibration.surface,
          ", and with calibration.rule none no gradients are compared; choose a rule, uniform to measure alone");
  require(
      weighs || config.losses.static_weights == "before", "losses.weights is ", config.losses.static_weights,
      ", and with calibration.rule none there is no rule that they could come after; set it to before, which is the same sum");
  require(weighs || calibration.apply_to == "published", "calibration.apply_to is ", calibration.apply_to,
          ", and with calibration.rule none nothing is weighted; choose a rule");
  require(
      !calibration.both_last_shared || (weighs && surface_of(calibration) == fuller::Surface::last_shared),
      "calibration.both_last_shared is on, and gradients are not compared at the last shared layer; set calibration.surface to ",
      "last_shared and choose a rule");
  require(!calibration.both_last_shared || !model.separate_bev,
          "calibration.both_last_shared is on, and with model.separate_bev the FPN is not shared");
  require(calibration.rule == "wpcgrad" || calibration.priorities == "dtp", "calibration.priorities is ", calibration.priorities,
          ", which only calibration.rule wpcgrad reads; calibration.rule is ", calibration.rule);
  require(model.parts.lidar || config.init.lidar.empty(), "init.lidar names a file, and model.parts.lidar is off");
  require(model.parts.camera || config.init.camera.empty(), "init.camera names a file, and model.parts.camera is off");
  require(!config.init.lidar.empty() || config.init.lidar_names.empty(), "init.lidar_names is set, and init.lidar is not");
  require(!config.init.camera.empty() || config.init.camera_names.empty(), "init.camera_names is set, and init.camera is not");
}

/// A number of a choice that was not made: whoever sets one is mistaken about what will run.
void check_readers(const RunConfig& config) {
  const CalibrationConfig& calibration = config.calibration;
  const TrainingConfig& training = config.training;
  struct Reader {
    const char* number;
    bool reads;
    std::string by;
  };
  const std::string rule = "; calibration.rule is " + calibration.rule;
  const std::string gate = "; calibration.gate is " + calibration.gate;
  const bool gates = calibration.gate == "gradient" || calibration.gate == "update";
  const bool by_loss = calibration.rule == "wpcgrad" && calibration.priorities == "dtp";
  const std::array<Reader, 12> readers = {{
      {"calibration.gradnorm_alpha", calibration.rule == "gradnorm", "calibration.rule gradnorm" + rule},
      {"calibration.dwa_temperature", calibration.rule == "dwa", "calibration.rule dwa" + rule},
      {"calibration.dtp_gamma", by_loss,
       "calibration.rule wpcgrad with calibration.priorities dtp" + rule + ", calibration.priorities " + calibration.priorities},
      {"calibration.gate_alpha", gates, "calibration.gate gradient or update" + gate},
      {"calibration.gate_momentum", gates, "calibration.gate gradient or update" + gate},
      {"calibration.gate_floor", gates, "calibration.gate gradient or update" + gate},
      {"calibration.gate_step", gates, "calibration.gate gradient or update" + gate},
      {"calibration.gate_norm", calibration.gate != "none", "a calibration.gate" + gate},
      {"training.beta2", training.optimizer == "adamw", "training.optimizer adamw; training.optimizer is " + training.optimizer},
      {"training.average_decay", training.average == "ema", "training.average ema; training.average is " + training.average},
      {"training.average_epochs", training.average == "last", "training.average last; training.average is " + training.average},
      {"loading.masks.outline", config.loading.masks.rule == "centres",
       "loading.masks.rule centres; loading.masks.rule is " + config.loading.masks.rule},
  }};
  const RunConfig of_size = run_of_size(config.size);
  RunConfig defaults = config;
  defaults.calibration = of_size.calibration;
  defaults.training = of_size.training;
  defaults.loading = of_size.loading;
  for (const std::string& changed : differences(defaults, config)) {
    for (const Reader& reader : readers) {
      require(changed != reader.number || reader.reads, changed, " is set, and only read by ", reader.by);
    }
  }
}

void check_calibration(const RunConfig& config) {
  const ModelParts& parts = config.model.parts;
  const CalibrationConfig& calibration = config.calibration;
  require(parts.lidar || parts.camera, "model.parts: a branch is needed, lidar or camera or both");
  require(!parts.tasks.chosen().empty(), "model.parts: a task is needed, ", parts.tasks.names(" or "));
  require(calibration.gate == "none" || (parts.lidar && parts.camera), "calibration.gate is ", calibration.gate,
          ", and there is one branch; set it to none");
  require(!config.model.separate_towers || calibration.rule == "none" || calibration.rule == "uniform",
          "model.separate_towers: towers share nothing whose gradients ", calibration.rule,
          " could weigh; set calibration.rule to none");
  const std::vector<std::string> tasks = task_names(config);
  const auto is_task = [&tasks](const char* name) { return std::find(tasks.begin(), tasks.end(), name) != tasks.end(); };
  for (const TaskChoice& split : parts.tasks.all()) {
    require(split.sheet.splits.empty() || split.sheet.name != config.losses.tasks || parts.tasks.has(split.sheet.splits),
            "losses.tasks is ", split.sheet.name, ", and model.parts.", split.sheet.splits, " is off");
  }
  const bool plain = calibration.rule == "none" && calibration.gate == "none";
  for (const TaskSheet& task : parts.tasks.chosen()) {
    const TaskSheet& judged = parts.tasks.judged(task, config.losses.tasks);
    require(
        plain || judged.loss_names().size() == 1 || surface_of(calibration) == fuller::Surface::all_shared,
        judged.splits.empty() ? "the task is " : "losses.tasks is ", judged.name, ", whose ", judged.loss_names().size(),
        " losses share a head: only calibration.surface all_shared can tell their gradients apart, and calibration.surface is ",
        calibration.surface, " with calibration.rule ", calibration.rule);
  }
  require(calibration.rule != "wpcgrad" || calibration.priorities == "dtp" || (is_task("segmentation") && is_task("velocity")),
          "calibration.priorities ", calibration.priorities,
          " needs the tasks segmentation and velocity (losses.tasks split_detection)");
  require(config.data.labels == "full" || (parts.tasks.has("detection") && parts.tasks.has("segmentation")), "data.labels ",
          config.data.labels, " parts the samples between detection and segmentation; both have to be there");
  for (const double weight : task_weights(config)) {
    require(weight > 0, "losses: a static weight is 0; leave the task out by model.parts instead");
  }
  check_meaning(config);
  check_readers(config);
}

}  // namespace

bool is_device_name(const std::string& device) {
  if (device.rfind("cuda:", 0) == 0) {
    const std::string number = device.substr(5);
    return !number.empty() && number.size() < 4 && number.find_first_not_of("0123456789") == std::string::npos;
  }
  return device == "cpu" || device == "cuda";
}

void check(const RunConfig& config, const LabelSets& sets) {
  Kinds known = kinds();
  known.labels = sets;
  check(config, known);
}

void check(const RunConfig& config, const Kinds& kinds) {
  RunConfig copy = config;
  for (const ConfigField& field : fields_of(copy)) {
    std::visit(CheckField{field}, field.value);
  }
  check_model(config.model, kinds);
  for (const auto& task : kinds.tasks.of(config.model)) {
    task->check(config, kinds);
  }
  check_training(config);
  check_calibration(config);
  check_distillation(config);
  check_parts(config, kinds.labels);
}

}  // namespace bevfusion
