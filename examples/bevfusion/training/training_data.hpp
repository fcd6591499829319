// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/loading/prefetcher.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/training/sampler.hpp"

namespace bevfusion {

/// A batch as the trainer takes it, on the CPU.
struct TrainingBatch {
  Batch batch;  ///< boxes: those with a LiDAR or radar point in them; masks: `labelled` is false where the sample is not to have
                ///< them
  std::vector<bool> boxes_labelled;  ///< whether the sample's boxes are labels
};

/// The training samples of a run in their batches. Which samples a batch holds and how they are augmented depends on the config,
/// the epoch and the batch's number alone. Any number of threads may load.
class TrainingData {
 public:
  /// @param tables  must outlive this
  /// @throws std::invalid_argument for no samples or an unknown assignment of labels
  TrainingData(const Tables& tables, std::vector<RowIndex> samples, const RunConfig& config);

  std::size_t samples() const { return samples_.size(); }
  const std::vector<RowIndex>& rows() const { return samples_; }  ///< of the tables
  std::size_t batches() const { return sampler_.batches(); }      ///< of an epoch
  const std::vector<SampleLabels>& labels() const { return labels_; }

  /// @throws DataError where a file is missing or damaged
  TrainingBatch load(std::int64_t epoch, std::size_t batch) const;

  /// All batches from batch `first` (counted over all epochs) on, loaded ahead by several threads.
  std::unique_ptr<Prefetcher<TrainingBatch>> prefetch(std::size_t first) const;

 private:
  std::vector<RowIndex> samples_;
  SampleLoader loader_;
  Sampler sampler_;
  std::vector<SampleLabels> labels_;
  DataConfig config_;
  std::int64_t epochs_;
};

}  // namespace bevfusion
