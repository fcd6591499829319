// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/shared_decoder.hpp"

#include <algorithm>

#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/heads/unified_decoder.hpp"
#include "bevfusion/tasks/task.hpp"

namespace bevfusion {

SharedDecoder shared_decoder(const ModelConfig& config, const Kinds& kinds) {
  SharedDecoder found;
  for (const auto& task : kinds.tasks.of(config)) {
    const std::string kind = task->decoder(config, kinds, found.asked);
    if (!kind.empty()) {
      found.kind = kind;
      found.tasks.push_back(task->name());
    }
  }
  if (found.kind.empty()) {
    return found;
  }
  const TaskChoices& tasks = config.parts.tasks;
  const bool both = tasks.has("detection") && (tasks.has("segmentation") || tasks.has("foreground"));
  require(!both || config.detection_head == config.segmentation_head, "model.detection_head is ", config.detection_head,
          " and model.segmentation_head ", config.segmentation_head, ", and the decoder ", found.kind,
          " serves boxes and masks; set both to ", found.kind, ", or choose other heads for both");
  require(!config.separate_bev, "model.separate_bev gives each task a BEV backbone of its own, and the decoder ", found.kind,
          " reads one map for all of them; set it to false, or choose other heads");
  return found;
}

void check_shared_decoder(const RunConfig& config, const Kinds& kinds) {
  const SharedDecoder decoder = shared_decoder(config.model, kinds);
  if (decoder.kind.empty()) {
    return;
  }
  if (decoder.kind == "unified") {
    unified_options(config.model);
  }
  require(!config.calibration.both_last_shared || decoder.tasks.size() < 2,
          "calibration.both_last_shared is about the FPN's two ", "weights, and with the decoder ", decoder.kind,
          " tasks part downstream of it; set it to false");
  const std::vector<std::string> twins = names_in(config.distillation.twins);
  for (const std::string& task : decoder.tasks) {
    require(config.distillation.twins_share != "trunk" || std::find(twins.begin(), twins.end(), task) == twins.end(),
            "distillation.twins names ", task, ", whose head reads the decoder ", decoder.kind,
            ", and with distillation.twins_share trunk a twin is a head on the shared map; set that to nothing, or choose other "
            "heads");
  }
}

}  // namespace bevfusion
