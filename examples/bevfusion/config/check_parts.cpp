// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/check_parts.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/require.hpp"
#include "bevfusion/config/teacher_list.hpp"
#include "bevfusion/heads/centerpoint.hpp"

namespace bevfusion {
namespace {

/// Fields that a part does not read.
struct Unread {
  std::string part;  ///< the field that chooses it, which is `kind`
  std::string kind;
  std::string reader;  ///< who reads them
  /// Whole sections end with a dot.
  std::vector<std::string> fields;
};

std::vector<Unread> unread(const ModelConfig& model) {
  std::vector<Unread> all;
  const auto add = [&all](bool there, const char* part, const std::string& kind, const std::vector<std::string>& kinds,
                          const char* reader, const std::vector<std::string>& fields) {
    if (there && std::find(kinds.begin(), kinds.end(), kind) != kinds.end()) {
      all.push_back({part, kind, reader, fields});
    }
  };
  const TaskChoices& tasks = model.parts.tasks;
  add(tasks.has("detection"), "model.detection_head", model.detection_head, {"centerpoint"}, "a head with queries",
      {"model.point_classes", "model.detection.channels", "model.detection.queries", "model.detection.heads",
       "model.detection.dropout", "model.detection.feed_forward", "losses.detection.classification",
       "losses.detection.smooth_l1_beta", "losses.detection.focal.", "losses.detection.matching."});
  add(tasks.has("segmentation") || tasks.has("foreground"), "model.segmentation_head", model.segmentation_head,
      {"dense_map", "unified"}, "fuller_seg",
      {"model.segmentation.channels", "model.segmentation.kernel", "model.segmentation.feed_forward", "model.segmentation.heads",
       "model.segmentation.dropout", "model.segmentation.self_attention"});
  add(model.parts.camera, "model.image_backbone", model.image_backbone, {"conv", "resnet50", "efficientnet_b0"}, "swin",
      {"model.swin."});
  add(model.parts.camera, "model.image_backbone", model.image_backbone, {"conv"}, "swin, resnet50 and efficientnet_b0",
      {"model.neck"});
  return all;
}

/// Fields that are as in none of the sizes: a file may hold another size's numbers.
std::vector<std::string> fields_set(const RunConfig& config) {
  std::vector<std::string> set = differences(run_of_size("full"), config);
  for (const char* size : {"small", "tiny"}) {
    const std::vector<std::string> there = differences(run_of_size(size), config);
    set.erase(std::remove_if(set.begin(), set.end(),
                             [&there](const auto& field) { return std::find(there.begin(), there.end(), field) == there.end(); }),
              set.end());
  }
  return set;
}

void check_unread(const RunConfig& config) {
  const std::vector<Unread> all = unread(config.model);
  const std::vector<std::string> set = all.empty() ? std::vector<std::string>() : fields_set(config);
  for (const Unread& one : all) {
    for (const std::string& field : set) {
      const bool ignored = std::any_of(one.fields.begin(), one.fields.end(), [&field](const std::string& name) {
        return name.back() == '.' ? field.rfind(name, 0) == 0 : field == name;
      });
      require(!ignored, field, " is set, and only read by ", one.reader, "; ", one.part, " is ", one.kind);
    }
  }
}

void check_centerpoint(const RunConfig& config, const LabelSets& sets) {
  centerpoint_options(config.model, 1, detection_outputs(config.model, sets).names);
  const std::vector<std::string> twins = names_in(config.distillation.twins);
  const auto teachers = teachers_in(config.distillation.teachers);
  const bool taught =
      std::count(twins.begin(), twins.end(), "detection") > 0 ||
      std::any_of(teachers.begin(), teachers.end(), [](const auto& teacher) { return teacher.first == "detection"; });
  require(
      !taught || config.distillation.response == 0, "distillation.response is ", config.distillation.response,
      ", and a teacher's boxes are matched to queries, which model.detection_head centerpoint does not have; set it to 0, so ",
      "that features alone teach, or model.detection_head to fuller_det, or leave detection without teacher and twin");
}

}  // namespace

void check_parts(const RunConfig& config, const LabelSets& sets) {
  check_unread(config);
  if (config.model.parts.tasks.has("detection") && config.model.detection_head == "centerpoint") {
    check_centerpoint(config, sets);
  }
}

}  // namespace bevfusion
