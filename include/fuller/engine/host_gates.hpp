// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <ATen/core/Tensor.h>
#include <ATen/ops/lerp.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

#include <fuller/core/evidence.hpp>
#include <fuller/engine/gate_engine.hpp>
#include <fuller/tensor/reductions.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Runs a law on numbers of the host.
class LawOnHost {
 public:
  explicit LawOnHost(GateLaw law) : law_(std::move(law)), kept_(law_.initial_state()), scratch_(law_.scratch_size()) {}

  /// Where the law throws, so does this: `state` is as it was, scales are 1.
  void operator()(const BranchesShown& shown, const double* squared_norms, const double* scores, double* state, double* scales) {
    std::copy_n(state, kept_.size(), kept_.begin());
    BranchEvidence<> evidence;
    evidence.count = law_.branches();
    evidence.squared_norms = squared_norms;
    evidence.sizes = shown.sizes.data();
    evidence.scores = scores;
    evidence.present = shown.present.data();
    try {
      law_(evidence, kept_.data(), scales, scratch_.data());
    } catch (...) {
      std::fill_n(scales, law_.branches(), 1.0);
      throw;
    }
    std::copy(kept_.begin(), kept_.end(), state);
  }

  const GateLaw& law() const { return law_; }

 private:
  GateLaw law_;
  std::vector<double> kept_;
  std::vector<double> scratch_;
};

/// Gates on the host, for branches anywhere.
class HostGates final : public GateEngine {
 public:
  explicit HostGates(const GateLaw& law)
      : GateEngine(law),
        law_(law),
        memory_(initial_memory(law)),
        scores_(at::zeros({law.reads_scores() ? law.branches() : 0}, at::kDouble)) {}

  bool may_wait() const override { return true; }
  at::Tensor no_norms() const override { return at::zeros({layout().branches}, at::kDouble); }
  void take_norms(const at::Tensor& gradient, const BranchSlices& slices, const at::Tensor& norms) override {
    slice_squared_norms(gradient, slices.widths, slices.dim, norms.data_ptr<double>() + slices.first);
  }
  at::Tensor scores() const override { return scores_; }
  void open(const at::Tensor& norms, const BranchesShown& shown) override {
    const double* const given = norms.data_ptr<double>();
    const double* const scores = scores_.data_ptr<double>();
    memory_.squared_norms.assign(given, given + layout().branches);
    memory_.scores.assign(scores, scores + scores_.numel());
    law_(shown, given, scores, memory_.state.data(), memory_.scales.data());
  }

  at::Tensor gated(std::size_t m, const at::Tensor& cotangent) override {
    return is_open(m) ? cotangent : cotangent.mul(memory_.scales[m]);
  }
  bool is_open(std::size_t m) const override { return memory_.scales[m] == 1.0; }
  at::Tensor part_way(std::size_t m, const at::Tensor& from, const at::Tensor& to) const override {
    return from.lerp(to, memory_.scales[m]);
  }

  at::Tensor packed() const override { return layout().pack(memory_); }
  void restore(const GateMemory& memory) override {
    memory_ = memory;
    std::copy(memory.scores.begin(), memory.scores.end(), scores_.data_ptr<double>());
  }

 private:
  LawOnHost law_;
  GateMemory memory_;
  at::Tensor scores_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
