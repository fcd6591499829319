// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/check_distillation.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "bevfusion/config/config_file.hpp"
#include "bevfusion/config/require.hpp"
#include "bevfusion/config/teacher_list.hpp"

namespace bevfusion {
namespace {

void check_twins(const RunConfig& config) {
  const DistillationConfig& distillation = config.distillation;
  const ModelConfig& model = config.model;
  const std::vector<std::string> twins = names_in(distillation.twins);
  require(!twins.empty() || distillation.twins_share == DistillationConfig().twins_share, "distillation.twins_share is set, and ",
          "there are no twins that it is about (--distillation.twins TASK)");
  if (twins.empty()) {
    return;
  }
  const auto teachers = teachers_in(distillation.teachers);
  for (const std::string& task : twins) {
    require(model.parts.tasks.has(task), "distillation.twins names ", task, ", which is no task of this run: it may be ",
            model.parts.tasks.names(" or "), ", where model.parts has it");
    require(std::count(twins.begin(), twins.end(), task) == 1, "distillation.twins names ", task, " twice");
    const auto taught = std::find_if(teachers.begin(), teachers.end(), [&task](const auto& one) { return one.first == task; });
    require(taught == teachers.end(), "distillation.twins names ", task, ", which has a teacher in distillation.teachers already",
            taught == teachers.end() ? "" : " (" + taught->second + ")", "; leave one of the two out");
  }
  require(!distillation.cache_teachers, "distillation.cache_teachers keeps what teachers say of a sample, and a twin, which ",
          "learns, says something else in each epoch; set it to false, or name no twin");
  require(model.parts.tasks.chosen().size() > 1, "distillation.twins names ", distillation.twins,
          ", and there is one task: its twin would be the network once more; name no twin");
  require(!model.separate_towers,
          "distillation.twins is set, and with model.separate_towers each task has a network of its own, ",
          "which its twin would be once more; name no twin");
  require(!model.separate_bev || distillation.twins_share == "nothing", "distillation.twins_share is trunk, and with ",
          "model.separate_bev each task has a BEV backbone of its own, at which the trunk ends; set one of them back");
}

}  // namespace

void check_distillation(const RunConfig& config) {
  const DistillationConfig& distillation = config.distillation;
  const auto teachers = teachers_in(distillation.teachers);
  const ModelParts& parts = config.model.parts;
  for (const auto& [task, run] : teachers) {
    require(parts.tasks.has(task), "distillation.teachers has a teacher of ", task, " (", run,
            "), which is no task of this run: ", "it may be ", parts.tasks.names(" or "), ", where model.parts has it");
  }
  check_twins(config);
  const bool taught = !teachers.empty() || !names_in(distillation.twins).empty();
  if (!taught) {
    RunConfig defaults = config;
    defaults.distillation = DistillationConfig();
    for (const std::string& changed : differences(defaults, config)) {
      require(false, changed,
              " is set, and there are no teachers that it is about (--teacher task=RUN, --distillation.twins TASK)");
    }
  }
  require(distillation.cache_teachers || distillation.cache_mib == DistillationConfig().cache_mib,
          "distillation.cache_mib is set, and only read with distillation.cache_teachers true");
  require(!taught || distillation.response > 0 || distillation.features > 0,
          "distillation.response and features are 0, so that teachers teach nothing; set one of them, or no teacher and no twin");
  require(!taught || config.losses.tasks == "heads", "losses.tasks is ", config.losses.tasks,
          ", and teachers teach whole heads; set it to heads, or name no teacher and no twin");
  require(!distillation.cache_teachers || !(config.loading.augment || config.loading.paste.on),
          "distillation.cache_teachers keeps what teachers say of a sample, and with loading.",
          config.loading.augment ? "augment" : "paste.on",
          " true it is another in each epoch; set that to false, or distillation.cache_teachers");
}

}  // namespace bevfusion
