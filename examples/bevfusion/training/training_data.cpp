// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/training_data.hpp"

#include <algorithm>
#include <numeric>
#include <set>

#include <torch/torch.h>

#include "bevfusion/training/class_balance.hpp"

namespace bevfusion {

namespace {

/// nuScenes evaluates no box without a point in it, so none is to be found: its `valid_flag`.
bool unseen(const Box3D& box) { return box.lidar_points + box.radar_points == 0; }

/// Which labels a sample's boxes have, each once.
std::vector<std::size_t> classes_in(const Tables& tables, RowIndex row, const DetectionLabels& labels) {
  std::set<std::size_t> classes;
  for (const Box3D& box : key_frame_of(tables, row, {1, labels}).boxes) {
    if (!unseen(box)) {
      classes.insert(index_of(box.label));
    }
  }
  return {classes.begin(), classes.end()};
}

}  // namespace

std::vector<TrainingData::Drawn> TrainingData::draw(const Tables& tables, const std::vector<RowIndex>& samples,
                                                    const RunConfig& config) {
  const std::vector<SampleLabels> labels = assign_labels(samples.size(), config.data.labels, config.training.seed);
  std::vector<std::size_t> chosen(samples.size());
  std::iota(chosen.begin(), chosen.end(), std::size_t{0});
  if (config.data.sampling == "class_balanced" && !samples.empty()) {
    std::vector<std::vector<std::size_t>> classes;
    for (const RowIndex row : samples) {
      classes.push_back(classes_in(tables, row, config.loading.box_labels));
    }
    chosen = class_balanced(classes, config.training.seed);
  }
  std::vector<std::uint64_t> copies(samples.size(), 0);
  std::vector<Drawn> drawn;
  for (const std::size_t sample : chosen) {
    drawn.push_back({samples[sample], copies[sample]++, labels[sample]});
  }
  return drawn;
}

std::vector<std::size_t> TrainingData::groups(const std::vector<Drawn>& samples, bool one_task) {
  std::vector<std::size_t> groups;
  for (const Drawn& drawn : samples) {
    groups.push_back(one_task && !drawn.labels.detection ? 1 : 0);
  }
  return groups;
}

std::vector<std::size_t> members_of(const std::vector<std::size_t>& batch, const BatchPart& part) {
  const auto parts = static_cast<std::size_t>(part.of);
  const auto k = static_cast<std::size_t>(part.part);
  const std::size_t each = batch.size() / parts;
  const std::size_t rest = batch.size() % parts;
  const auto begin = batch.begin() + static_cast<std::ptrdiff_t>(k * each + std::min(k, rest));
  return {begin, begin + static_cast<std::ptrdiff_t>(each + (k < rest ? 1 : 0))};
}

TrainingData::TrainingData(const Tables& tables, std::vector<RowIndex> samples, const RunConfig& config,
                           std::vector<std::shared_ptr<const Task>> tasks, const BatchPart& part)
    : tables_(tables),
      tasks_(std::move(tasks)),
      samples_(draw(tables, samples, config)),
      loader_(tables, config.loading),
      sampler_(groups(samples_, config.data.one_task_batches), config.training.batch, config.training.seed),
      config_(config.data),
      epochs_(config.training.epochs),
      paste_(config.loading.paste),
      modality_dropout_(config.training.modality_dropout),
      seed_(config.training.seed),
      part_(part) {
  for (const auto& task : tasks_) {
    task->expect_data(tables);
  }
  if (paste_.on) {
    paster_ = std::make_unique<ObjectPaster>(tables, samples, KeyFrameOptions{config.loading.sweeps, config.loading.box_labels},
                                             config.loading.points, paste_, seed_);
  }
}

std::vector<RowIndex> TrainingData::rows() const {
  std::vector<RowIndex> rows;
  for (const Drawn& drawn : samples_) {
    rows.push_back(drawn.row);
  }
  return rows;
}

TrainingBatch TrainingData::load(std::int64_t epoch, std::size_t batch) const {
  std::vector<TrainingSample> loaded;
  TrainingBatch out;
  out.draws = mix_bits({seed_, static_cast<std::uint64_t>(epoch), batch, 0x6472617773ULL});
  if (Random lost({out.draws, 1}); lost.chance(modality_dropout_)) {
    out.absent.emplace_back(lost.chance(0.5) ? "lidar" : "camera");
  }
  if (part_.part > 0) {  // samples of one batch draw each anew
    out.draws = mix_bits({out.draws, static_cast<std::uint64_t>(part_.part)});
  }
  const std::vector<std::size_t> members = members_of(sampler_.batch(epoch, batch), part_);
  if (members.empty()) {
    return out;
  }
  out.epoch = epoch;
  for (const std::size_t member : members) {
    const Drawn& drawn = samples_[member];
    out.rows.push_back(drawn.row);
    const std::uint64_t pass = static_cast<std::uint64_t>(epoch) + (drawn.copy << 32U);
    SampleLoader::Change change;
    if (paster_ && epoch + paste_.without < epochs_) {
      change = [&](std::vector<SweepPoint>& points, std::vector<Box3D>& boxes) {
        paster_->paste(points, boxes, {seed_, pass, static_cast<std::uint64_t>(drawn.row), 0x7061737465ULL});
      };
    }
    TrainingSample sample = loader_.load(drawn.row, pass, change);
    sample.boxes.erase(std::remove_if(sample.boxes.begin(), sample.boxes.end(), unseen), sample.boxes.end());
    loaded.push_back(std::move(sample));
    out.boxes_labelled.push_back(drawn.labels.detection);
  }
  out.batch = collate(loaded);
  std::vector<LabelSource> sources;
  for (std::size_t b = 0; b < members.size(); ++b) {
    sources.push_back({tables_, samples_[members[b]].row, loaded[b]});
  }
  add_labels(out.batch, sources, tasks_);
  for (std::size_t b = 0; b < members.size(); ++b) {
    if (!samples_[members[b]].labels.segmentation) {
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
