// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "bevfusion/model/network.hpp"
#include "bevfusion/model/norm_sums.hpp"
#include "bevfusion/training/checkpoint.hpp"
#include "bevfusion/training/training_data.hpp"

namespace bevfusion {

class RunRanks;

/// Which part of each batch a rank has.
/// @param ranks  nullptr for one process
BatchPart part_of(const RunRanks* ranks);

/// A checksum of the parameters and buffers.
std::uint32_t checksum_of_weights(const Network& network);

/// Runs forward and backward of this rank's part of a batch, for each tower, as all ranks do with theirs; a rank without a part
/// takes part all the same. What is added to the gradients has to be averaged over the ranks; the running means and variances of
/// the network are.
/// @param input  of the part, on the run's device; unused where there is none
/// @param share  of the whole batch's gradient that is added
/// @param norms  of batch norms that see the whole batch; nullptr: they see this rank's part
/// @return the losses of each tower's tasks over the whole batch, unweighted; NaN where it has no label of the task
std::vector<std::vector<double>> learn_together(RunRanks& ranks, const TowerTrainers& towers, Network& network,
                                                const TrainingBatch& batch, const ModelInput& input, double share,
                                                NormSums* norms = nullptr);

/// A batch that ranks have divided. Every rank makes one for each batch, and calls average_buffers() and over_all().
///
/// A task's loss is a mean over labels, so that of the whole batch is the mean of the ranks' losses, each counted by the labels
/// that the rank has. Means over something else that the rank alone knows stay as they are: the detection loss is divided by the
/// number of boxes that were matched on the rank, as it was on each GPU of BEVFusion's training.
class DividedBatch {
 public:
  /// Learns what all ranks have of the batch.
  DividedBatch(RunRanks& ranks, const TowerTrainers& towers, const TrainingBatch& batch);

  bool empty() const { return samples_ == 0; }  ///< nothing of it is here
  /// What this rank has of it, for a tower.
  RankPart part(std::size_t tower) const;
  /// Whether any rank has a label of a tower's tasks.
  bool anyone_has_labels(std::size_t tower) const;

  /// Replaces running means and variances by their means over the ranks, each counted by its samples: all ranks then have the
  /// same network.
  void average_buffers(Network& network) const;
  /// Losses of the whole batch.
  /// @param losses  of each tower's tasks here; NaN for those without a label
  std::vector<std::vector<double>> over_all(std::vector<std::vector<double>> losses) const;

 private:
  RunRanks& ranks_;
  double samples_ = 0;                       ///< here
  double all_samples_ = 0;                   ///< on all ranks
  std::vector<std::vector<double>> labels_;  ///< of each tower's tasks, here
  std::vector<std::vector<double>> all_labels_;
};

}  // namespace bevfusion
