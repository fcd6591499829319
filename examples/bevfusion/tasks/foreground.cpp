// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tasks/foreground.hpp"

#include <algorithm>
#include <iterator>

#include <torch/torch.h>

#include "bevfusion/config/require.hpp"
#include "bevfusion/config/run_config.hpp"
#include "bevfusion/losses/foreground_target.hpp"
#include "bevfusion/model/kinds.hpp"
#include "bevfusion/model/labels.hpp"
#include "bevfusion/tasks/mask_task.hpp"

namespace bevfusion {
namespace {

/// Names of the masks, for 1, one a group or one a label.
std::vector<std::string> foreground_names(std::size_t masks, const DetectionLabels& labels) {
  if (masks == 1) {
    return {"objects"};
  }
  std::vector<std::string> names;
  if (masks == labels.size()) {
    for (const DetectionLabel& label : labels) {
      names.push_back(label.name);
    }
    return names;
  }
  return groups_of(labels);
}

class ForegroundTask : public MaskTask {
 public:
  ForegroundTask() : MaskTask(foreground_sheet()) {}

  void check(const RunConfig& config, const Kinds& kinds) const override {
    MaskTask::check(config, kinds);
    const std::int64_t masks = config.model.foreground_masks;
    const DetectionLabels& boxes = box_labels(config.model, kinds.labels);
    const auto labels = static_cast<std::int64_t>(boxes.size());
    const auto groups = static_cast<std::int64_t>(groups_of(boxes).size());
    require(masks == 1 || masks == groups || masks == labels, "model.foreground_masks is ", masks, "; it may be 1, ", groups,
            " or ", labels);
  }

  std::vector<std::string> mask_names(const RunConfig& config) const override {
    return foreground_names(static_cast<std::size_t>(config.model.foreground_masks), config.loading.box_labels);
  }

  void draw(SampleDrawing& drawing, const SamplePrediction& prediction, const PictureContext& context) const override {
    const auto* said = prediction.of<MaskPrediction>(name());
    if (said == nullptr) {
      return;
    }
    const MapLabels labels = painted(context.config);
    const MaskGrid& mask = context.config.model.segmentation.mask;
    drawing.own.push_back({"foreground", "foreground from above: annotated, predicted", masks_of(labels, said->truth, {}),
                           masks_of(labels, reaching(said->probability, context.thresholds.at(name())), {}),
                           MapGrid{mask.range, static_cast<int>(mask.cells)}});
  }

 protected:
  std::int64_t mask_count(const ModelConfig& config, const LabelSets&) const override { return config.foreground_masks; }

  Truth truth(const TrainingBatch& batch, const RunConfig& config) const override {
    const std::int64_t masks = config.model.foreground_masks;
    Truth known{target(batch.batch.boxes, masks, config), {}};
    known.labelled = torch::zeros({known.masks.size(0), masks}, torch::kBool);
    for (std::size_t b = 0; b < batch.boxes_labelled.size(); ++b) {
      known.labelled[static_cast<std::int64_t>(b)].fill_(static_cast<bool>(batch.boxes_labelled[b]));
    }
    return known;
  }

  /// Annotations that no sensor hit are no truth here, as in detection.
  Truth evaluated_truth(const Batch& batch, std::int64_t b, std::int64_t masks, const RunConfig& config) const override {
    const std::vector<Box3D>& boxes = batch.boxes.at(static_cast<std::size_t>(b));
    std::vector<Box3D> seen;
    std::copy_if(boxes.begin(), boxes.end(), std::back_inserter(seen),
                 [](const Box3D& box) { return box.lidar_points + box.radar_points > 0; });
    return {target({seen}, masks, config)[0], {}};
  }

  MapLabels painted(const RunConfig& config) const override {
    return foreground_as_map(mask_names(config), config.loading.box_labels);
  }
  std::string legend_prefix() const override { return "foreground: "; }

 private:
  static torch::Tensor target(const std::vector<std::vector<Box3D>>& boxes, std::int64_t masks, const RunConfig& config) {
    return foreground_target(boxes, masks, config.model.segmentation.mask, config.loading.box_labels);
  }
};

}  // namespace

void register_foreground(Kinds& kinds) { kinds.tasks.add(std::make_shared<ForegroundTask>()); }

}  // namespace bevfusion
