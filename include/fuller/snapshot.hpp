// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <memory>

#include <fuller/core/member.hpp>
#include <fuller/diagnostics.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {
struct Modalities;
struct State;
struct Taken;
}  // namespace detail

/// What Calibration::diagnostics() would show, on its way from a device to the host: what Calibration::snapshot() returns. It may
/// outlive the calibration.
class Snapshot {
 public:
  /// Starts one small copy for the tasks and one for the gates, if there are any (`modalities` may be null). Waits for nothing.
  Snapshot(const detail::State& state, const detail::Modalities* modalities);
  Snapshot(Snapshot&&) = default;
  Snapshot& operator=(Snapshot&&) = default;
  Snapshot(const Snapshot&) = delete;
  Snapshot& operator=(const Snapshot&) = delete;
  ~Snapshot() = default;

  /// Whether everything has arrived, so that diagnostics() would not wait. Waits for nothing.
  bool is_there() const;

  /// The diagnostics of the step after which the snapshot was taken. Waits until they have arrived; allocates. Does not throw
  /// NonFiniteError, whatever the policy.
  Diagnostics diagnostics();

 private:
  std::shared_ptr<detail::Taken> taken_;
};

}  // namespace v0_1
}  // namespace fuller

#ifndef FULLER_SEPARATE_MEMBERS
#include <fuller/snapshot_members.hpp>
#endif
