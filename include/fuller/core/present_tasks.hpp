// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <fuller/core/evidence.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Writes the numbers of the present tasks to `index`, ascending, and returns how many there are. Rules work on these K tasks
/// alone, so that a mask gives what leaving out the rows would give, random draws included. `index` holds T bytes.
template <class Lanes, int Tasks>
FULLER_HD int present_tasks(Lanes lanes, const Evidence<Tasks>& evidence, std::uint8_t* index) {
  const int T = evidence.tasks();
  int K = 0;
  for (int i = 0; i < T; ++i) {
    if (evidence.present[i] != 0) {
      if (lanes.index() == 0) {
        index[K] = static_cast<std::uint8_t>(i);
      }
      ++K;
    }
  }
  lanes.sync();
  return K;
}

/// The K x K Gram matrix of the present tasks: the evidence's own where all are present, else a copy in `storage` (T x T
/// doubles).
template <class Lanes, int Tasks>
FULLER_HD const double* present_gram(Lanes lanes, const Evidence<Tasks>& evidence, const std::uint8_t* index, int K,
                                     double* storage) {
  if (K == evidence.tasks()) {
    return evidence.gram;
  }
  for (int a = lanes.index(); a < K; a += Lanes::count) {
    for (int b = 0; b < K; ++b) {
      storage[a * K + b] = evidence.dot(index[a], index[b]);
    }
  }
  lanes.sync();
  return storage;
}

/// Writes 0 as the weight of every absent task.
template <class Lanes, int Tasks>
FULLER_HD void clear_absent(Lanes lanes, const Evidence<Tasks>& evidence, double* weights) {
  for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
    if (evidence.present[i] == 0) {
      weights[i] = 0;
    }
  }
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
