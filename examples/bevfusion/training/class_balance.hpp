// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "bevfusion/synth/random.hpp"

namespace bevfusion {

/// Samples resampled so that every class appears about equally often (CBGS, Zhu et al. 2019, as mmdetection3d's CBGSDataset does
/// it): with N_c the samples that class c appears in, N the sum of them and C the classes that appear at all, int(N / C) draws
/// with replacement from the samples of each class in turn. A sample of a rare class so comes several times an epoch, and one
/// without any class not at all.
/// @param classes  of each sample: which of them appear in it, each once
/// @return positions in `classes`, class after class; the same for the same seed
/// @throws std::invalid_argument where no class appears in any sample
inline std::vector<std::size_t> class_balanced(const std::vector<std::vector<std::size_t>>& classes, std::uint64_t seed) {
  std::vector<std::vector<std::size_t>> of_class;
  std::size_t appearances = 0;
  for (std::size_t sample = 0; sample < classes.size(); ++sample) {
    for (const std::size_t c : classes[sample]) {
      of_class.resize(std::max(of_class.size(), c + 1));
      of_class[c].push_back(sample);
      ++appearances;
    }
  }
  of_class.erase(std::remove_if(of_class.begin(), of_class.end(), [](const auto& samples) { return samples.empty(); }),
                 of_class.end());
  if (of_class.empty()) {
    throw std::invalid_argument(
        "data.sampling class_balanced: no training sample has a box with a point in it; set it to uniform");
  }
  const std::size_t draws = appearances / of_class.size();
  std::vector<std::size_t> drawn;
  Random random({seed, 0x63626773ULL});
  for (const std::vector<std::size_t>& samples : of_class) {
    for (std::size_t k = 0; k < draws; ++k) {
      const auto at = static_cast<std::size_t>(random.unit() * static_cast<double>(samples.size()));
      drawn.push_back(samples[std::min(at, samples.size() - 1)]);
    }
  }
  return drawn;
}

}  // namespace bevfusion
