// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/check_detection_head.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/require.hpp"
#include "bevfusion/config/teacher_list.hpp"
#include "bevfusion/heads/centerpoint.hpp"

namespace bevfusion {
namespace {

/// Fields that a head with queries reads, and CenterPoint's does not.
bool is_of_queries(const std::string& field) {
  const std::vector<std::string> sections = {"losses.detection.focal.", "losses.detection.matching."};
  const std::vector<std::string> fields = {"model.point_classes",
                                           "model.detection.channels",
                                           "model.detection.queries",
                                           "model.detection.heads",
                                           "model.detection.dropout",
                                           "model.detection.feed_forward",
                                           "losses.detection.classification",
                                           "losses.detection.smooth_l1_beta"};
  return std::find(fields.begin(), fields.end(), field) != fields.end() ||
         std::any_of(sections.begin(), sections.end(), [&field](const auto& section) { return field.rfind(section, 0) == 0; });
}

void check_centerpoint(const RunConfig& config, const LabelSets& sets) {
  centerpoint_options(config.model, 1, detection_outputs(config.model, sets).names);
  // A file may hold another size's numbers, so a field is set where it is as in none of them.
  std::vector<std::string> set = differences(run_of_size("full"), config);
  for (const char* size : {"small", "tiny"}) {
    const std::vector<std::string> there = differences(run_of_size(size), config);
    set.erase(std::remove_if(set.begin(), set.end(),
                             [&there](const auto& field) { return std::find(there.begin(), there.end(), field) == there.end(); }),
              set.end());
  }
  for (const std::string& field : set) {
    require(!is_of_queries(field), field, " is set, and only read by a head with queries; model.detection_head is centerpoint");
  }
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

void check_detection_head(const RunConfig& config, const LabelSets& sets) {
  if (config.model.parts.tasks.has("detection") && config.model.detection_head == "centerpoint") {
    check_centerpoint(config, sets);
  }
}

}  // namespace bevfusion
