// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "device.hpp"

namespace fuller::testing {

/// The 32 lanes of a warp, as a rule takes them.
struct Warp {
  static constexpr int count = 32;
  __device__ int index() const { return static_cast<int>(threadIdx.x); }
  __device__ void sync() const { __syncwarp(); }
};

}  // namespace fuller::testing
