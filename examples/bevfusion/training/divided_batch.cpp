// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/training/divided_batch.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string_view>
#include <utility>

#include <torch/torch.h>

#include "bevfusion/ranks/run_ranks.hpp"
#include "bevfusion/training/crc32c.hpp"

namespace bevfusion {

BatchPart part_of(const RunRanks* ranks) { return ranks == nullptr ? BatchPart() : BatchPart{ranks->rank(), ranks->size()}; }

std::uint32_t checksum_of_weights(const Network& network) {
  Crc32c sum;
  for (const auto& [name, tensor] : weights_by_name(network)) {
    const torch::Tensor here = tensor.detach().cpu().contiguous();
    sum.add(name);
    sum.add(std::string_view(static_cast<const char*>(here.data_ptr()), here.nbytes()));
  }
  return sum.value();
}

std::vector<std::vector<double>> learn_together(RunRanks& ranks, const TowerTrainers& towers, Network& network,
                                                const TrainingBatch& batch, const ModelInput& input, double share,
                                                NormSums* norms) {
  const DividedBatch divided(ranks, towers, batch);
  NormSums::Batch sums(norms, divided.empty());
  std::vector<std::vector<double>> losses;
  for (std::size_t t = 0; t < towers.size(); ++t) {
    losses.emplace_back(towers[t]->tasks().size(), std::numeric_limits<double>::quiet_NaN());
    if (!divided.empty()) {
      losses.back() = towers[t]->backward(input, batch, share, divided.part(t));
    } else if (divided.anyone_has_labels(t)) {
      towers[t]->idle();
    }
  }
  sums.end();
  divided.average_buffers(network);
  return divided.over_all(std::move(losses));
}

DividedBatch::DividedBatch(RunRanks& ranks, const TowerTrainers& towers, const TrainingBatch& batch)
    : ranks_(ranks), samples_(static_cast<double>(batch.batch.boxes.size())) {
  std::vector<double> counts{samples_};
  for (const auto& tower : towers) {
    labels_.push_back(tower->label_counts(batch));
    counts.insert(counts.end(), labels_.back().begin(), labels_.back().end());
  }
  counts = ranks_.sums(std::move(counts), "how many labels a batch has");
  // Whole numbers, but for a mean's rounding.
  std::transform(counts.begin(), counts.end(), counts.begin(), [](double count) { return std::round(count); });
  all_samples_ = counts.front();
  auto next = counts.begin() + 1;
  for (const std::vector<double>& labels : labels_) {
    all_labels_.emplace_back(next, next + static_cast<std::ptrdiff_t>(labels.size()));
    next += static_cast<std::ptrdiff_t>(labels.size());
  }
}

RankPart DividedBatch::part(std::size_t tower) const {
  RankPart part;
  part.share = samples_ * ranks_.size() / all_samples_;
  for (std::size_t i = 0; i < labels_[tower].size(); ++i) {
    const double all = all_labels_[tower][i];
    part.losses.push_back(all > 0 ? labels_[tower][i] / all * (all_samples_ / samples_)
                                  : std::numeric_limits<double>::quiet_NaN());
  }
  return part;
}

bool DividedBatch::anyone_has_labels(std::size_t tower) const {
  return std::any_of(all_labels_[tower].begin(), all_labels_[tower].end(), [](double count) { return count > 0; });
}

void DividedBatch::average_buffers(Network& network) const {
  const torch::NoGradGuard no_grad;
  std::vector<torch::Tensor> buffers;
  std::vector<torch::Tensor> counted;
  for (const torch::Tensor& buffer : network->buffers()) {
    if (buffer.is_floating_point()) {
      buffers.push_back(buffer);
      counted.push_back(buffer * (samples_ * ranks_.size() / all_samples_));
    }
  }
  if (buffers.empty()) {
    return;
  }
  ranks_.average(counted, "running means and variances");
  for (std::size_t k = 0; k < buffers.size(); ++k) {
    buffers[k].copy_(counted[k]);
  }
}

std::vector<std::vector<double>> DividedBatch::over_all(std::vector<std::vector<double>> losses) const {
  std::vector<double> sums;
  for (std::size_t t = 0; t < losses.size(); ++t) {
    for (std::size_t i = 0; i < losses[t].size(); ++i) {
      sums.push_back(labels_[t][i] > 0 ? losses[t][i] * labels_[t][i] : 0.0);
    }
  }
  sums = ranks_.sums(std::move(sums), "the losses");
  auto next = sums.begin();
  for (std::size_t t = 0; t < losses.size(); ++t) {
    for (std::size_t i = 0; i < losses[t].size(); ++i, ++next) {
      losses[t][i] = all_labels_[t][i] > 0 ? *next / all_labels_[t][i] : std::numeric_limits<double>::quiet_NaN();
    }
  }
  return losses;
}

}  // namespace bevfusion
