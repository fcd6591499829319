// SPDX-License-Identifier: Apache-2.0
// Choices of a config that others leave without a meaning, and fields that reach what they name.
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/kinds.hpp"
#include "support/catch.hpp"

namespace {

using namespace bevfusion;

/// What check() says of a size's defaults with a change; nothing where it accepts them.
std::string verdict(const std::string& size, const std::function<void(RunConfig&)>& change) {
  RunConfig config = run_of_size(size);
  change(config);
  try {
    check(config);
  } catch (const std::exception& error) {
    return error.what();
  }
  return "";
}

/// Nothing where all parts are in the text, else the text, for a failed check to show.
std::string missing_in(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    if (text.find(part) == std::string::npos) {
      return "'" + part + "' is not in: " + text;
    }
  }
  return "";
}

TEST_CASE("choices that others leave without a meaning are refused with a way out", "[bevfusion][config]") {
  const auto accepted = [](const auto& change) { return verdict("tiny", change).empty(); };
  REQUIRE(accepted([](RunConfig&) {}));
  const auto alone = [](RunConfig& c) { c.model.parts.tasks["segmentation"] = false, c.calibration.gate = "none"; };
  CHECK(missing_in(verdict("tiny", alone), {"calibration.rule is imtl_g", "one task", "none"}) == "");
  CHECK(accepted([&](RunConfig& c) { alone(c), c.calibration.rule = "none"; }));
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { alone(c), c.calibration.rule = "none", c.model.separate_towers = true; }),
                   {"model.separate_towers", "one task"}) == "");
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { alone(c), c.calibration.rule = "none", c.model.separate_bev = true; }),
                   {"model.separate_bev", "one task"}) == "");
  CHECK(accepted([](RunConfig& c) { c.model.separate_bev = true; }));
  CHECK(missing_in(verdict("tiny",
                           [](RunConfig& c) {
                             c.model.separate_bev = c.model.separate_towers = true;
                             c.calibration.rule = "none";
                           }),
                   {"choose one"}) == "");
  const auto unweighted = [](RunConfig& c) { c.calibration.rule = c.calibration.gate = "none"; };
  CHECK(accepted(unweighted));
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { unweighted(c), c.calibration.surface = "last_shared"; }),
                   {"calibration.surface", "uniform"}) == "");
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { unweighted(c), c.calibration.apply_to = "all"; }),
                   {"calibration.apply_to"}) == "");
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { unweighted(c), c.calibration.both_last_shared = true; }),
                   {"both_last_shared", "last_shared and choose a rule"}) == "");
  CHECK(missing_in(verdict("tiny",
                           [](RunConfig& c) {
                             c.calibration.both_last_shared = true;
                             c.calibration.surface = "representation";
                           }),
                   {"both_last_shared"}) == "");
  CHECK(accepted([](RunConfig& c) { c.calibration.both_last_shared = true; }));
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { unweighted(c), c.losses.static_weights = "after"; }),
                   {"losses.weights is after", "same sum"}) == "");
  CHECK(accepted([](RunConfig& c) { c.losses.static_weights = "after"; }));
  CHECK(missing_in(verdict("tiny", [](RunConfig& c) { c.data.one_task_batches = true; }),
                   {"data.one_task_batches", "data.labels full"}) == "");
  CHECK(accepted([](RunConfig& c) { c.data.one_task_batches = true, c.data.labels = "disjoint_normal"; }));
  CHECK(accepted([](RunConfig& c) { c.training.rows_every = 5; }));
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { alone(c), c.calibration.rule = "none", c.training.rows_every = 5; }),
                   {"training.rows_every", "several tasks"}) == "");
  CHECK(missing_in(verdict("tiny", [](RunConfig& c) { c.training.average = "last", c.training.average_epochs = 99; }),
                   {"training.average_epochs is 99"}) == "");
  const auto blind = [](RunConfig& c) { c.model.parts.camera = false, c.calibration.gate = "none"; };
  CHECK(accepted(blind));
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { blind(c), c.training.modality_dropout = 0.1; }),
                   {"training.modality_dropout", "there is one"}) == "");
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { blind(c), c.loading.camera_dropout = 0.1; }),
                   {"loading.camera_dropout", "model.parts.camera"}) == "");
  CHECK(missing_in(verdict("tiny", [](RunConfig& c) { c.calibration.priorities = "seg_to_vel"; }), {"wpcgrad reads"}) == "");
  CHECK(missing_in(verdict("tiny", [](RunConfig& c) { c.init.lidar_names = "names"; }),
                   {"init.lidar_names", "init.lidar is not"}) == "");
  CHECK(missing_in(verdict("tiny",
                           [](RunConfig& c) {
                             c.model.parts.camera = false;
                             c.calibration.gate = "none";
                             c.init.camera = "file";
                           }),
                   {"init.camera", "model.parts.camera"}) == "");
  CHECK(missing_in(verdict("tiny", [](RunConfig& c) { c.model.numbers = "sum.scale=2"; }), {"sum.scale=2", "called 'sum'"}) ==
        "");
  CHECK(accepted([](RunConfig& c) { c.model.numbers = "concat.scale=2"; }));
}

TEST_CASE("a number that no choice reads is refused with the choice that does", "[bevfusion][config]") {
  const auto says = [](const std::string& field, const std::function<void(RunConfig&)>& change, const std::string& reader) {
    return missing_in(verdict("tiny", change), {field + " is set", reader});
  };
  const auto none = [](RunConfig& c) { c.calibration.gate = "none"; };
  CHECK(says(
            "calibration.gradnorm_alpha", [](RunConfig& c) { c.calibration.gradnorm_alpha = 3; }, "rule gradnorm") == "");
  CHECK(says(
            "calibration.dwa_temperature", [](RunConfig& c) { c.calibration.dwa_temperature = 3; }, "rule dwa") == "");
  CHECK(says(
            "calibration.dtp_gamma", [](RunConfig& c) { c.calibration.dtp_gamma = 3; }, "rule wpcgrad") == "");
  CHECK(says(
            "calibration.gate_alpha", [&](RunConfig& c) { none(c), c.calibration.gate_alpha = 3; }, "gate is none") == "");
  CHECK(says(
            "calibration.gate_norm", [&](RunConfig& c) { none(c), c.calibration.gate_norm = "rms"; }, "gate is none") == "");
  const auto measures = [](RunConfig& c) { c.calibration.gate = "measure"; };
  CHECK(says(
            "calibration.gate_floor", [&](RunConfig& c) { measures(c), c.calibration.gate_floor = .5; }, "is measure") == "");
  CHECK(verdict("tiny", [&](RunConfig& c) { measures(c), c.calibration.gate_norm = "rms"; }).empty());
  CHECK(verdict("tiny", [](RunConfig& c) { c.calibration.gate_alpha = .2, c.calibration.gate_step = "continuous"; }).empty());
  CHECK(verdict("tiny", [](RunConfig& c) { c.calibration.rule = "dwa", c.calibration.dwa_temperature = 3; }).empty());
  CHECK(says(
            "training.beta2", [](RunConfig& c) { c.training.optimizer = "sgd", c.training.beta2 = .9; }, "is sgd") == "");
  CHECK(says(
            "training.average_decay", [](RunConfig& c) { c.training.average_decay = .5; }, "average is none") == "");
  CHECK(says(
            "loading.masks.outline", [](RunConfig& c) { c.loading.masks.outline = !c.loading.masks.outline; },
            "rule is devkit") == "");
}

TEST_CASE("a field that the chosen part of its kind does not read is refused", "[bevfusion][config]") {
  const auto dense = [](RunConfig& c) { c.model.segmentation_head = "dense_map"; };
  const auto says = [](const std::function<void(RunConfig&)>& change, const std::vector<std::string>& parts) {
    return missing_in(verdict("tiny", change), parts);
  };
  CHECK(says([&](RunConfig& c) { dense(c), c.model.segmentation.channels = 48; },
             {"model.segmentation.channels is set, and only read by fuller_seg", "model.segmentation_head is dense_map"}) == "");
  CHECK(says([&](RunConfig& c) { dense(c), c.model.segmentation.self_attention = false; }, {"segmentation.self_attention"}) ==
        "");
  CHECK(says(
            [](RunConfig& c) {
              c.model.detection_head = c.model.segmentation_head = "unified";
              c.model.segmentation.kernel = 1;
            },
            {"model.segmentation.kernel", "is unified"}) == "");
  CHECK(says([](RunConfig& c) { c.model.swin.drop_path = 0; },
             {"model.swin.drop_path is set, and only read by swin", "is conv"}) == "");
  CHECK(says([](RunConfig& c) { c.model.image_backbone = "resnet50", c.model.swin.window = 8; }, {"model.swin.window"}) == "");
  CHECK(says([](RunConfig& c) { c.model.neck = 48; }, {"model.neck is set", "swin, resnet50 and efficientnet_b0"}) == "");
  // As in another size, the mask's grid, which all heads have, and what is read.
  CHECK(verdict("tiny", [&](RunConfig& c) { dense(c), c.model.segmentation.channels = full_model().segmentation.channels; }) ==
        "");
  CHECK(verdict("tiny", [&](RunConfig& c) { dense(c), c.model.segmentation.mask.cells = 25; }) == "");
  CHECK(verdict("tiny", [](RunConfig& c) { c.model.segmentation.channels = 48; }) == "");
  CHECK(verdict("tiny", [](RunConfig& c) { c.model.image_backbone = "resnet50", c.model.neck = 48; }) == "");
  const auto blind = [](RunConfig& c) { c.model.parts.camera = false, c.calibration.gate = "none", c.model.neck = 48; };
  CHECK(verdict("tiny", blind) == "");
}

TEST_CASE("an image backbone says what its pictures' sides have to be multiples of", "[bevfusion][config]") {
  Kinds kinds = bevfusion::kinds();
  const auto make = [](const ModelConfig&) { return std::shared_ptr<ImageBackbone>(); };
  kinds.image_backbones.add("coarse", make);
  kinds.picture_multiples["coarse"] = 16;
  kinds.image_backbones.add("plain", make);
  const auto says_of = [&kinds](const std::string& name, std::int64_t width) -> std::string {
    RunConfig config = run_of_size("tiny");
    config.model.image_backbone = name;
    config.model.lift_splat.image_width = width;
    complete(config);
    try {
      check(config, kinds);
    } catch (const std::invalid_argument& error) {
      return error.what();
    }
    return "";
  };
  CHECK(says_of("coarse", 176).empty());
  CHECK(missing_in(says_of("coarse", 168), {"coarse", "multiples of 16"}) == "");
  CHECK(says_of("plain", 168).empty());
  CHECK(missing_in(says_of("plain", 164), {"multiples of 8"}) == "");
  CHECK(missing_in(says_of("swin", 176), {"multiples of 32"}) == "");
}

TEST_CASE("the speed that tells attributes apart is the label's, unless a run names one", "[bevfusion][config]") {
  RunConfig config = run_of_size("tiny");
  const auto attribute = [&config](double speed) {
    complete(config);
    return attribute_by_speed(config.loading.box_labels.front(), speed);
  };
  CHECK(attribute(0.2) == Attribute::vehicle_parked);
  CHECK(attribute(0.21) == Attribute::vehicle_moving);
  config.model.moving_speed = 1;
  CHECK(attribute(0.9) == Attribute::vehicle_parked);
  CHECK(attribute(1.1) == Attribute::vehicle_moving);
}

TEST_CASE("objects are pasted where pictures would not belie them", "[bevfusion][config]") {
  const auto lidar_only = [](RunConfig& c) {
    c.model.parts.camera = c.model.parts.tasks["segmentation"] = false;
    c.calibration.rule = c.calibration.gate = "none";
    c.loading.paste.on = true;
  };
  CHECK(verdict("tiny", lidar_only).empty());
  CHECK(missing_in(verdict("tiny", [](RunConfig& c) { c.loading.paste.on = true; }),
                   {"loading.paste.on", "model.parts.camera"}) == "");
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { lidar_only(c), c.loading.paste.objects = "car=2, lorry=1"; }),
                   {"'lorry'"}) == "");
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { lidar_only(c), c.loading.paste.objects = "car"; }), {"label=number"}) ==
        "");
  CHECK(missing_in(verdict("tiny", [&](RunConfig& c) { lidar_only(c), c.loading.paste.without = 12; }),
                   {"loading.paste.without"}) == "");
  CHECK(missing_in(verdict("tiny",
                           [](RunConfig& c) {
                             c.model.parts.tasks["detection"] = false;
                             c.calibration.rule = c.calibration.gate = "none";
                             c.data.sampling = "class_balanced";
                           }),
                   {"data.sampling", "uniform"}) == "");
}

}  // namespace
