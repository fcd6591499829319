// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/segmentation.hpp"

#include <stdexcept>

#include <torch/torch.h>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/labels.hpp"
#include "bevfusion/tasks/mask_task.hpp"
#include "support/svg.hpp"

namespace bevfusion {
namespace {

class SegmentationTask : public MaskTask {
 public:
  SegmentationTask() : MaskTask(segmentation_sheet()) {}

  std::vector<std::string> mask_names(const RunConfig& config) const override {
    std::vector<std::string> names;
    for (const MapLabel& label : config.loading.map_labels) {
      names.push_back(label.name);
    }
    return names;
  }

  void draw(SampleDrawing& drawing, const SamplePrediction& prediction, const PictureContext& context) const override {
    const auto* said = prediction.of<MaskPrediction>(name());
    if (said == nullptr) {
      return;
    }
    const MapLabels labels = painted(context.config);
    drawing.annotated = masks_of(labels, said->truth, said->labelled);
    drawing.predicted = masks_of(labels, reaching(said->probability, context.thresholds.at(name())), said->labelled);
    std::string unknown;
    for (std::size_t c = 0; c < labels.size(); ++c) {
      if (said->labelled.defined() && !said->labelled[static_cast<std::int64_t>(c)].item<bool>()) {
        unknown += (unknown.empty() ? "" : ", ") + labels[c].name;
      }
    }
    if (!unknown.empty()) {
      drawing.caption += "Not labelled here: " + example::escaped(unknown) + ".";
    }
  }

 protected:
  std::int64_t mask_count(const ModelConfig& config, const LabelSets& sets) const override {
    return static_cast<std::int64_t>(map_labels(config, sets).size());
  }
  Truth truth(const TrainingBatch& batch, const RunConfig&) const override { return {batch.batch.masks, batch.batch.labelled}; }
  Truth evaluated_truth(const Batch& batch, std::int64_t b, std::int64_t masks, const RunConfig&) const override {
    if (masks != batch.masks.size(1)) {
      throw std::invalid_argument("the network has " + std::to_string(masks) + " map outputs, and " +
                                  std::to_string(batch.masks.size(1)) + " labels of the map are loaded");
    }
    return {batch.masks[b], batch.labelled[b]};
  }
  MapLabels painted(const RunConfig& config) const override { return config.loading.map_labels; }
};

}  // namespace

void register_segmentation(Kinds& kinds) { kinds.tasks.add(std::make_shared<SegmentationTask>()); }

}  // namespace bevfusion
