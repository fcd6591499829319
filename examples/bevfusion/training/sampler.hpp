// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bevfusion/synth/random.hpp"

namespace bevfusion {

/// 0 ... count - 1 in a random order (Fisher and Yates), which depends on the key alone.
inline std::vector<std::size_t> shuffled(std::size_t count, std::initializer_list<std::uint64_t> key) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), std::size_t{0});
  Random random(key);
  for (std::size_t left = count; left > 1; --left) {
    const auto chosen = static_cast<std::size_t>(random.unit() * static_cast<double>(left));
    std::swap(order[left - 1], order[std::min(chosen, left - 1)]);
  }
  return order;
}

/// Which samples make up which batch: each epoch a new order, in batches of equal size but for the last. Where samples are parted
/// into groups, a batch holds samples of one group, each group's last batch may be smaller, and the batches of all groups come in
/// random order.
class Sampler {
 public:
  /// @throws std::invalid_argument for no samples
  Sampler(std::size_t samples, std::int64_t batch, std::uint64_t seed)
      : Sampler(std::vector<std::size_t>(samples, 0), batch, seed) {}

  /// @param group_of  of each sample, which group it belongs to
  Sampler(const std::vector<std::size_t>& group_of, std::int64_t batch, std::uint64_t seed)
      : batch_(static_cast<std::size_t>(batch)), seed_(seed) {
    if (group_of.empty()) {
      throw std::invalid_argument("training: the split has no samples");
    }
    groups_.resize(*std::max_element(group_of.begin(), group_of.end()) + 1);
    for (std::size_t sample = 0; sample < group_of.size(); ++sample) {
      groups_[group_of[sample]].push_back(sample);
    }
    groups_.erase(std::remove_if(groups_.begin(), groups_.end(), [](const auto& group) { return group.empty(); }), groups_.end());
  }

  std::size_t batches() const {
    return std::accumulate(groups_.begin(), groups_.end(), std::size_t{0},
                           [this](std::size_t sum, const auto& group) { return sum + batches_of(group.size()); });
  }

  /// Positions of the samples of batch k of an epoch.
  std::vector<std::size_t> batch(std::int64_t epoch, std::size_t k) const {
    const auto pass = static_cast<std::uint64_t>(epoch);
    std::size_t at = groups_.size() == 1 ? k : shuffled(batches(), {seed_, pass, 0x62617463686573ULL}).at(k);
    std::size_t group = 0;
    while (group + 1 < groups_.size() && at >= batches_of(groups_[group].size())) {
      at -= batches_of(groups_[group++].size());
    }
    const std::vector<std::size_t>& samples = groups_[group];
    const std::vector<std::size_t> order = group == 0 ? shuffled(samples.size(), {seed_, pass, 0x6f72646572ULL})
                                                      : shuffled(samples.size(), {seed_, pass, 0x6f72646572ULL, group});
    std::vector<std::size_t> members;
    for (std::size_t i = at * batch_; i < std::min(samples.size(), (at + 1) * batch_); ++i) {
      members.push_back(samples[order[i]]);
    }
    return members;
  }

 private:
  std::size_t batches_of(std::size_t samples) const { return (samples + batch_ - 1) / batch_; }

  std::vector<std::vector<std::size_t>> groups_;
  std::size_t batch_;
  std::uint64_t seed_;
};

/// Which tasks a sample has labels of.
struct SampleLabels {
  bool detection = true;  ///< boxes: those of detection and of foreground segmentation
  bool segmentation = true;
};

/// Parts samples between the tasks, once for the whole run (FULLER, Tab. 2): `full`, all labels on all; `disjoint_normal`, boxes
/// on three of four samples and maps on the others; `disjoint_balance`, each on one half.
/// @throws std::invalid_argument for another name
inline std::vector<SampleLabels> assign_labels(std::size_t samples, const std::string& labels, std::uint64_t seed) {
  std::vector<SampleLabels> assigned(samples);
  if (labels == "full") {
    return assigned;
  }
  if (labels != "disjoint_normal" && labels != "disjoint_balance") {
    throw std::invalid_argument("data.labels '" + labels + "' is unknown");
  }
  const std::vector<std::size_t> order = shuffled(samples, {seed, 0x6c6162656c73ULL});
  const std::size_t with_boxes = labels == "disjoint_normal" ? samples - samples / 4 : samples - samples / 2;
  for (std::size_t i = 0; i < samples; ++i) {
    assigned[order[i]] = i < with_boxes ? SampleLabels{true, false} : SampleLabels{false, true};
  }
  return assigned;
}

}  // namespace bevfusion
