// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/lanes.hpp>
#include <fuller/gates/law.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// A gate law for so many branches, of a type chosen at run time; immutable.
class GateLaw {
 public:
  /// @throws Error for options that make no sense, or a number of branches that the law does not take.
  template <class Law>
  GateLaw(Law law, int branches)
      : name_(Law::name),
        branches_(branches),
        target_(gate_target(law)),
        norm_(gate_norm(law)),
        reads_scores_(gate_evidence(law) == GateEvidence::scores),
        divides_scores_(gate_divides_scores(law)),
        only_measures_(gate_only_measures(law)),
        call_(std::make_shared<const Model<Law>>(std::move(law))) {
    static_cast<void>(initial_state());
  }

  const std::string& name() const { return name_; }
  int branches() const { return branches_; }
  GateTarget target() const { return target_; }
  GateNorm norm() const { return norm_; }
  bool reads_scores() const { return reads_scores_; }
  bool divides_scores() const { return divides_scores_; }
  bool only_measures() const { return only_measures_; }

  std::vector<double> initial_state() const {
    std::vector<double> state(static_cast<std::size_t>(call_->state_size(branches_)), 0.0);
    call_->initialise(branches_, state.data());
    return state;
  }
  std::size_t scratch_size() const { return static_cast<std::size_t>(call_->scratch_size(branches_)); }
  /// @throws Error for a saved state that no steps can have left.
  void check_state(const std::vector<double>& saved) const { call_->check_state(branches_, saved.data()); }

  /// @throws Error for saved scales, likewise.
  void check_scales(const std::vector<double>& saved) const { call_->check_scales(branches_, saved.data()); }

  /// Runs the law once on the host; allocates nothing.
  void operator()(const BranchEvidence<>& evidence, double* state, double* scales, double* scratch) const {
    call_->run(evidence, state, scales, scratch);
  }

  /// The law, if it is a `Law`; else null.
  template <class Law>
  const Law* as() const {
    const auto* model = dynamic_cast<const Model<Law>*>(call_.get());
    return model == nullptr ? nullptr : &model->law_;
  }

 private:
  struct Call {
    virtual ~Call() = default;
    virtual int state_size(int branches) const = 0;
    virtual int scratch_size(int branches) const = 0;
    virtual void initialise(int branches, double* state) const = 0;
    virtual void check_state(int branches, const double* state) const = 0;
    virtual void check_scales(int branches, const double* scales) const = 0;
    virtual void run(const BranchEvidence<>& evidence, double* state, double* scales, double* scratch) const = 0;
  };

  template <class Law>
  struct Model final : Call {
    explicit Model(Law law) : law_(std::move(law)) {}
    int state_size(int branches) const override { return law_.state_size(branches); }
    int scratch_size(int branches) const override { return law_.scratch_size(branches); }
    void initialise(int branches, double* state) const override { law_.initialise(branches, state); }
    void check_state(int branches, const double* state) const override {
      if constexpr (gate_checks_state<Law>::value) {
        law_.check_state(branches, state);
      } else {
        static_cast<void>(branches);
        static_cast<void>(state);
      }
    }
    void check_scales(int branches, const double* scales) const override {
      if constexpr (gate_checks_scales<Law>::value) {
        law_.check_scales(branches, scales);
      } else {
        for (int m = 0; m < branches; ++m) {
          require_saved(Law::name, "scale", m, scales[m], is_finite(scales[m]));
        }
      }
    }
    void run(const BranchEvidence<>& evidence, double* state, double* scales, double* scratch) const override {
      law_(Serial{}, evidence, state, scales, scratch);
    }

    Law law_;
  };

  std::string name_;
  int branches_;
  GateTarget target_;
  GateNorm norm_;
  bool reads_scores_;
  bool divides_scores_;
  bool only_measures_;
  std::shared_ptr<const Call> call_;
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
