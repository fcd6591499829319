// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/training_data.hpp"

#include <algorithm>
#include <utility>

#include <torch/torch.h>

namespace bevfusion {

TrainingData::TrainingData(const Tables& tables, std::vector<RowIndex> samples, const RunConfig& config)
    : samples_(std::move(samples)),
      loader_(tables, config.loading),
      sampler_(samples_.size(), config.training.batch, config.training.seed),
      labels_(assign_labels(samples_.size(), config.data.labels, config.training.seed)),
      config_(config.data),
      epochs_(config.training.epochs) {}

TrainingBatch TrainingData::load(std::int64_t epoch, std::size_t batch) const {
  std::vector<TrainingSample> loaded;
  TrainingBatch out;
  const std::vector<std::size_t> members = sampler_.batch(epoch, batch);
  for (const std::size_t member : members) {
    TrainingSample sample = loader_.load(samples_[member], static_cast<std::uint64_t>(epoch));
    // nuScenes evaluates no box without a point in it, so none is to be found: its `valid_flag`.
    const auto unseen = [](const Box3D& box) { return box.lidar_points + box.radar_points == 0; };
    sample.boxes.erase(std::remove_if(sample.boxes.begin(), sample.boxes.end(), unseen), sample.boxes.end());
    loaded.push_back(std::move(sample));
    out.boxes_labelled.push_back(labels_[member].detection);
  }
  out.batch = collate(loaded);
  for (std::size_t b = 0; b < members.size(); ++b) {
    if (!labels_[members[b]].segmentation) {
      out.batch.labelled[static_cast<std::int64_t>(b)].fill_(false);
    }
  }
  return out;
}

std::unique_ptr<Prefetcher<TrainingBatch>> TrainingData::prefetch(std::size_t first) const {
  const std::size_t of_epoch = batches();
  return std::make_unique<Prefetcher<TrainingBatch>>(
      first, of_epoch * static_cast<std::size_t>(epochs_), config_.threads, static_cast<std::size_t>(std::max(1, config_.ahead)),
      [this, of_epoch](std::size_t number) { return load(static_cast<std::int64_t>(number / of_epoch), number % of_epoch); });
}

}  // namespace bevfusion
