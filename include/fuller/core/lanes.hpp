// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {

/// The one lane that a rule runs on when it runs on the host, or on a single CUDA thread.
///
/// A rule is written once, as loops `for (int i = lanes.index(); i < n; i += Lanes::count)` with `lanes.sync()` wherever one
/// lane reads what another wrote. Any type with these three members will do; a warp has count = 32 and a sync that is a
/// barrier. Sums over tasks are formed by every lane in the same order, so that the number of lanes never changes a result.
struct Serial {
  static constexpr int count = 1;
  FULLER_HD constexpr int index() const { return 0; }
  FULLER_HD constexpr void sync() const {}
};

}  // namespace v0_1
}  // namespace fuller
