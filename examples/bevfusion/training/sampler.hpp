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

/// Which samples make up which batch: each epoch a new order, in batches of equal size but for the last.
class Sampler {
 public:
  /// @throws std::invalid_argument for no samples
  Sampler(std::size_t samples, std::int64_t batch, std::uint64_t seed)
      : samples_(samples), batch_(static_cast<std::size_t>(batch)), seed_(seed) {
    if (samples == 0) {
      throw std::invalid_argument("training: the split has no samples");
    }
  }

  std::size_t batches() const { return (samples_ + batch_ - 1) / batch_; }

  /// Positions of the samples of batch k of an epoch.
  std::vector<std::size_t> batch(std::int64_t epoch, std::size_t k) const {
    const std::vector<std::size_t> order = shuffled(samples_, {seed_, static_cast<std::uint64_t>(epoch), 0x6f72646572ULL});
    const std::size_t first = std::min(samples_, k * batch_);
    const std::size_t last = std::min(samples_, first + batch_);
    return {order.begin() + static_cast<std::ptrdiff_t>(first), order.begin() + static_cast<std::ptrdiff_t>(last)};
  }

 private:
  std::size_t samples_;
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
