// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/picture_task.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/kinds.hpp"

namespace bevfusion {

void PictureTask::check(const RunConfig& config, const Kinds& kinds) const {
  require(config.model.parts.camera, "model.parts.", name(), " is on, which looks at pictures, and model.parts.camera is off");
  const std::vector<std::string> twins = names_in(config.distillation.twins);
  require(config.distillation.twins_share != "trunk" || std::find(twins.begin(), twins.end(), name()) == twins.end(),
          "distillation.twins names ", name(), ", which looks at pictures, and with distillation.twins_share trunk a twin is a ",
          "head on the shared map; set that to nothing, or leave the task out");
  const auto tasks = kinds.tasks.of(config.model);
  const bool reads_map = std::any_of(tasks.begin(), tasks.end(), [](const auto& task) { return !as_picture_task(*task); });
  require(reads_map || !config.model.parts.lidar,
          "model.parts.lidar is on, and no task reads the map that its branch goes into: ", "model.parts.", name(),
          " looks at pictures alone; set it to false");
}

}  // namespace bevfusion
