// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/config/config_fields.hpp"

namespace bevfusion {

void add_distillation_fields(FieldList& list, DistillationConfig& distillation) {
  list.add("distillation.teachers", &distillation.teachers,
           "Networks that teach: task=RUN, the folder of a run that has the task; several parted by commas, or given one by one")
      .several()
      .also("teacher");
  list.add("distillation.twins", &distillation.twins,
           "Tasks with a twin, a teacher that is trained at the same time: several parted by commas, or given one by one")
      .several();
  list.add("distillation.twins_share", &distillation.twins_share,
           "What twins have in common with the network: nothing, each is one for its task alone; trunk, each is a second head")
      .one_of({"nothing", "trunk"});
  list.add("distillation.response", &distillation.response,
           "Weight of the distance between what a head and its teacher's say: masks, heat maps, boxes; 0: none")
      .at_least(0);
  list.add("distillation.features", &distillation.features,
           "Weight of the distance between the shared representations, through a 1 x 1 convolution a task, or between the states "
           "of "
           "a head and its twin; 0: none")
      .at_least(0);
  list.add("distillation.feature_distance", &distillation.feature_distance,
           "How far features are apart: cosine, cell by cell; l2, of whole maps brought to length 1")
      .one_of({"cosine", "l2"});
  list.add("distillation.ramp", &distillation.ramp, "What both count in an epoch e, from 0: as much, or sqrt(0.2 e + 0.04)")
      .one_of({"constant", "sqrt"});
  list.add("distillation.least_score", &distillation.least_score, "A detection teacher's boxes teach from this score on")
      .within(0, 1);
  list.add("distillation.cache_teachers", &distillation.cache_teachers,
           "Keep what teachers say of a sample; it has to be the same in each epoch, so loading.augment false")
      .also("cache-teachers");
  list.add("distillation.cache_mib", &distillation.cache_mib, "Memory for that, MiB; samples beyond are asked of again")
      .within(1, 1e7);
}

}  // namespace bevfusion
