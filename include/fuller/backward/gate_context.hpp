// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <utility>

#include <fuller/backward/state.hpp>
#include <fuller/tensor/ranks.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// All that gates see of the calibration they belong to.
class GateContext {
 public:
  explicit GateContext(std::shared_ptr<State> state) : state_(std::move(state)) {}

  const Ranks& ranks() const { return state_->options().ranks; }
  /// For ranks, which agree on more than their gates.
  State& of_all_levels() const { return *state_; }
  /// How many nested passes run inside the running backward; a further one counts itself here.
  int& nested() const { return state_->nested; }
  /// Backwards so far that reached a sum().
  std::int64_t backwards() const { return state_->backwards; }

  /// Has the sum know of a pass through the gates, as long as its graph lives.
  void enlist(const std::shared_ptr<GatedPass>& pass) const { state_->open_gates.insert(pass); }

 private:
  std::shared_ptr<State> state_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
