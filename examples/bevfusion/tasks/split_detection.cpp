// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/split_detection.hpp"

#include "bevfusion/model/kinds.hpp"
#include "bevfusion/tasks/labelled_detections.hpp"

namespace bevfusion {

void register_split_detection(Kinds& kinds) {
  kinds.tasks.add(LossSplit{split_detection_sheet(),
                            [](torch::nn::Module& head, const std::any& said, const TrainingBatch& batch,
                               const RunConfig& config) -> std::vector<torch::Tensor> {
                              const DetectionLosses found = labelled_detection_losses(head, said, batch, config);
                              return {found.box, found.classification + found.heat_map, found.velocity};
                            }});
}

}  // namespace bevfusion
