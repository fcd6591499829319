// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "bevfusion/config/run_config.hpp"
#include "bevfusion/loading/prefetcher.hpp"
#include "bevfusion/model/batch.hpp"
#include "bevfusion/tasks/task.hpp"
#include "bevfusion/training/sampler.hpp"

namespace bevfusion {

/// Which part of each batch is loaded, of so many that make it up.
struct BatchPart {
  int part = 0;
  int of = 1;
};

/// The members of a batch that a part has: consecutive ones, as many as the others or one more, which the first parts have. A
/// part of a small batch may have none.
std::vector<std::size_t> members_of(const std::vector<std::size_t>& batch, const BatchPart& part);

/// The training samples of a run in their batches. Which samples a batch holds and how they are augmented depends on the config,
/// the epoch and the batch's number alone. A sample that comes several times an epoch (data.sampling class_balanced) is augmented
/// each time anew, and has the same labels each time. Any number of threads may load.
class TrainingData {
 public:
  /// @param tables  must outlive this
  /// @throws std::invalid_argument for no samples or an unknown assignment of labels
  /// @throws DataError for data that have no labels of a task; see Task::expect_data()
  /// @param tasks  which may add labels of their own
  /// @param part   of each batch: what a rank of several loads
  TrainingData(const Tables& tables, std::vector<RowIndex> samples, const RunConfig& config,
               std::vector<std::shared_ptr<const Task>> tasks = {}, const BatchPart& part = {});

  std::size_t samples() const { return samples_.size(); }     ///< of an epoch
  std::size_t batches() const { return sampler_.batches(); }  ///< of an epoch
  RowIndex row(std::size_t sample) const { return samples_.at(sample).row; }
  std::vector<RowIndex> rows() const;  ///< of the tables, sample by sample

  /// A batch, without samples where the part has none of it.
  /// @throws DataError where a file is missing or damaged
  TrainingBatch load(std::int64_t epoch, std::size_t batch) const;

  /// All batches from batch `first` (counted over all epochs) on, loaded ahead by several threads.
  std::unique_ptr<Prefetcher<TrainingBatch>> prefetch(std::size_t first) const;

 private:
  struct Drawn {
    RowIndex row = -1;
    std::uint64_t copy = 0;  ///< how often the row came before
    SampleLabels labels;
  };
  static std::vector<Drawn> draw(const Tables& tables, const std::vector<RowIndex>& samples, const RunConfig& config);
  static std::vector<std::size_t> groups(const std::vector<Drawn>& samples, bool one_task);

  const Tables& tables_;
  std::vector<std::shared_ptr<const Task>> tasks_;
  std::vector<Drawn> samples_;
  SampleLoader loader_;
  Sampler sampler_;
  std::unique_ptr<ObjectPaster> paster_;  ///< where objects are pasted
  DataConfig config_;
  std::int64_t epochs_;
  PasteOptions paste_;
  double modality_dropout_;
  std::uint64_t seed_;
  BatchPart part_;
};

}  // namespace bevfusion
