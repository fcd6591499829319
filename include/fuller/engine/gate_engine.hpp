// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include <fuller/core/floating.hpp>
#include <fuller/engine/gate_law.hpp>
#include <fuller/engine/placed.hpp>
#include <fuller/tensor/fusion_weight.hpp>

// Where the arithmetic of gates runs: on the host (host_gates.hpp), by kernels on a device (kernel_gates.hpp), or on the host in
// a device's order (stream_gates.hpp).

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// What the host knows of the branches of a step beside their norms.
struct BranchesShown {
  std::vector<std::uint8_t> present;  ///< M flags
  std::vector<double> sizes;          ///< M numbers of elements of the slices
  bool operator==(const BranchesShown& other) const { return present == other.present && sizes == other.sizes; }
};

/// What gates keep from step to step, and what the last step showed.
struct GateMemory {
  std::vector<double> state;          ///< the law's
  std::vector<double> scales;         ///< M: w_m of the last step
  std::vector<double> squared_norms;  ///< M: of the last step
  std::vector<double> scores;         ///< M: what the trainer handed in last; empty for a law that reads none
};

/// The gates' numbers as one list of doubles: the law's state, M scales, M squared norms, M scores if the law reads them.
struct GateLayout {
  explicit GateLayout(const GateLaw& law)
      : branches(law.branches()),
        scales(static_cast<std::int64_t>(law.initial_state().size())),
        squared_norms(scales + branches),
        scores(squared_norms + branches),
        end(scores + (law.reads_scores() ? branches : 0)) {}

  /// Takes a list on the host apart.
  GateMemory unpack(const at::Tensor& numbers) const {
    const double* const all = numbers.data_ptr<double>();
    return {
        {all, all + scales}, {all + scales, all + squared_norms}, {all + squared_norms, all + scores}, {all + scores, all + end}};
  }
  /// And makes one.
  at::Tensor pack(const GateMemory& memory) const {
    at::Tensor numbers = at::empty({end}, at::kDouble);
    double* next = numbers.data_ptr<double>();
    for (const std::vector<double>* list : {&memory.state, &memory.scales, &memory.squared_norms, &memory.scores}) {
      next = std::copy(list->begin(), list->end(), next);
    }
    return numbers;
  }

  at::Tensor state_of(const at::Tensor& numbers) const { return numbers.narrow(0, 0, scales); }
  at::Tensor scales_of(const at::Tensor& numbers) const { return numbers.narrow(0, scales, branches); }
  at::Tensor squared_norms_of(const at::Tensor& numbers) const { return numbers.narrow(0, squared_norms, branches); }
  at::Tensor scores_of(const at::Tensor& numbers) const { return numbers.narrow(0, scores, end - scores); }

  std::int64_t branches;
  std::int64_t scales;
  std::int64_t squared_norms;
  std::int64_t scores;
  std::int64_t end;
};

/// Gates that have moved no step.
inline GateMemory initial_memory(const GateLaw& law) {
  const auto branches = static_cast<std::size_t>(law.branches());
  return {law.initial_state(), std::vector<double>(branches, 1.0), std::vector<double>(branches, 0.0),
          std::vector<double>(law.reads_scores() ? branches : 0, quiet_nan)};
}

/// The level of the modalities: norms of slices, the law and its state, scaled gradients. On a device everything but read(),
/// restore() and what they call is put into the current stream and forgotten.
class GateEngine : public Placed {
 public:
  explicit GateEngine(const GateLaw& law) : layout_(law) {}

  /// Whether a value may be looked at, for which a device would be waited for.
  virtual bool may_wait() const = 0;

  /// [M] doubles of 0: where a pass's squared norms go.
  virtual at::Tensor no_norms() const = 0;
  /// The squared norms of the slices of a fusion weight's gradient, to norms[slices.first], norms[slices.first + 1], ...
  virtual void take_norms(const at::Tensor& gradient, const BranchSlices& slices, const at::Tensor& norms) = 0;
  /// [M] doubles in a place that stays: the scores that open() shows the law. Empty for a law that reads none.
  virtual at::Tensor scores() const = 0;
  /// Asks the law: the gates move.
  virtual void open(const at::Tensor& norms, const BranchesShown& shown) = 0;

  /// `cotangent` times the scale of branch m: itself where that is known to be 1, else a tensor apart.
  virtual at::Tensor gated(std::size_t m, const at::Tensor& cotangent) = 0;
  /// Whether the scale of branch m is known to be 1.
  virtual bool is_open(std::size_t m) const = 0;
  /// The share w_m of the way from `from` to `to`.
  virtual at::Tensor part_way(std::size_t m, const at::Tensor& from, const at::Tensor& to) const = 0;

  /// The numbers of layout(), wherever they are; a step writes to them.
  virtual at::Tensor packed() const = 0;
  GateMemory read() const { return layout_.unpack(packed().to(at::kCPU)); }
  virtual void restore(const GateMemory& memory) = 0;
  /// @throws Error once for what a law has thrown, in the order of a device, since the last call. Waits for nothing.
  virtual void expect_no_exception() {}

  const GateLayout& layout() const { return layout_; }

 private:
  GateLayout layout_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
