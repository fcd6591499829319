// SPDX-License-Identifier: Apache-2.0
#pragma once

// Steps of a rule as the last block of a reduction runs it: on 32 lanes, with the scratch in shared memory or outside, with all
// state in place. The host's own call on the same evidence is the oracle.

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/kernel_launcher.hpp"

namespace fuller::testing {

/// What is odd about a step.
struct RuleStep {
  std::uint64_t absent = 0;  ///< bits
  int nan_gradient = -1;     ///< of which task
  int infinite_gradient = -1;
  int zero_gradient = -1;
  int nan_loss = -1;
  enum Likeness { different, parallel, equal } gradients = different;
  bool no_gram = false;  ///< numbers that are no Gram matrix at all: for a rule by itself
};

inline void require_near(const std::vector<double>& found, const std::vector<double>& right, double tolerance,
                         const std::string& what) {
  double size = 0;
  for (const double x : right) size = std::isfinite(x) ? std::max(size, std::fabs(x)) : size;
  for (std::size_t k = 0; k < right.size(); ++k) {
    const bool same = found[k] == right[k] || (std::isnan(found[k]) && std::isnan(right[k]));
    if (!same) {
      INFO(what << "[" << k << "] is " << found[k] << ", the host's " << right[k]);
      REQUIRE(std::fabs(found[k] - right[k]) <= tolerance * size);
    }
  }
  REQUIRE(found.size() == right.size());
}

/// Runs the steps, each on what the one before has left, and compares weights, state, conditions and counters.
template <class Rule>
class RuleSteps {
 public:
  /// Of gradients of n numbers; above 2048 more than one block is asked for.
  RuleSteps(const Rule& rule, int tasks, std::int64_t n, const WeightingOptions& options = {}, bool by_itself = false)
      : weighting_(rule, options),
        T_(tasks),
        count_(static_cast<std::size_t>(tasks)),
        n_(n),
        by_itself_(by_itself),
        state_(static_cast<std::size_t>(weighting_.state_size(tasks))) {
    weighting_.initialise(tasks, state_.data());
  }

  void check(const std::vector<RuleStep>& steps) {
    for (const RuleStep& step : steps) {
      INFO(Rule::name << ", T = " << T_ << ", step " << number_ << (by_itself_ ? ", by itself" : ""));
      check(step);
      ++number_;
    }
  }

 private:
  static constexpr double nan = std::numeric_limits<double>::quiet_NaN();

  void make_evidence(const RuleStep& s) {
    gradients_.clear();
    losses_.clear();
    const bool different = s.gradients == RuleStep::different;
    for (int i = 0; i < T_; ++i) {
      const unsigned seed = 100 * number_ + static_cast<unsigned>(different ? i : 0);
      gradients_.push_back(
          normal_numbers<float>(n_, seed, different && i % 2 == 1 ? -0.1 : 0.2, s.gradients == RuleStep::equal ? 1.0 : 1.0 + i));
      std::vector<float>& g = gradients_.back();
      if (i == s.nan_gradient) g[g.size() / 2] = std::numeric_limits<float>::quiet_NaN();
      if (i == s.infinite_gradient) g[0] = std::numeric_limits<float>::infinity();
      if (i == s.zero_gradient) std::fill(g.begin(), g.end(), 0.0F);
      losses_.push_back(i == s.nan_loss ? nan : 0.5 + 0.1 * i + 0.03 * ((number_ + static_cast<unsigned>(i)) % 3));
    }
    present_ = (T_ == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << static_cast<unsigned>(T_)) - 1) & ~s.absent;
  }

  bool is_present(int i) const { return (present_ >> static_cast<unsigned>(i) & 1U) != 0; }

  void check(const RuleStep& s) {
    make_evidence(s);
    const std::vector<double> state_before = state_;
    std::vector<double> workspace(static_cast<std::size_t>(cuda::gram_workspace(T_, 1, n_)), nan);
    workspace[0] = 0;
    std::vector<double> gram(count_ * count_, nan);
    std::vector<double> shared(count_, nan);
    std::vector<double> heads(count_, nan);
    std::vector<Condition> conditions(count_, Condition::absent);
    std::vector<double> scratch(static_cast<std::size_t>(cuda::rule_scratch(weighting_, T_)), nan);
    std::int64_t counters[] = {11 + number_, number_ / 2};
    const double loss_scale = -8;  // its sign says nothing
    const Layout layout = row(n_);
    std::vector<cuda::TensorView> views;
    for (int i = 0; i < T_; ++i) {
      views.push_back(layout.view(is_present(i) ? gradients_[static_cast<std::size_t>(i)].data() : nullptr));
    }
    const cuda::TensorLists lists{views.data(), 1, T_, cuda::Element::float32};
    cuda::GramRequest request;
    request.parts = &lists;
    request.part_count = 1;
    request.tasks = T_;
    request.gram = gram.data();
    request.workspace = workspace.data();
    cuda::RuleCall call;
    call.number = cuda::rule_number<Rule>;
    call.tasks = T_;
    call.present = present_;
    call.weighting = &weighting_;
    call.gram = gram.data();
    call.losses = losses_.data();
    call.loss_scale = number_ % 2 == 0 ? &loss_scale : nullptr;
    call.counters = counters;
    call.state = state_.data();
    call.shared = shared.data();
    call.heads = heads.data();
    call.conditions = conditions.data();
    call.scratch = scratch.data();
    const KernelLauncher launcher = KernelLauncher::in_turn();
    if (by_itself_) {
      REQUIRE(submit(request, launcher) == cuda::Outcome::done);
      if (s.no_gram) contradict(gram);
      REQUIRE(submit(call, launcher) == cuda::Outcome::done);
    } else {
      request.rule = call;
      REQUIRE(submit(request, launcher) == cuda::Outcome::done);
      REQUIRE(workspace[0] == 0);  // the ticket is back
    }
    REQUIRE(counters[0] == 12 + number_);
    REQUIRE(counters[1] == number_ / 2);

    std::vector<std::uint8_t> mask;
    for (int i = 0; i < T_; ++i) mask.push_back(is_present(i) ? 1 : 0);
    std::vector<double> host_state = state_before;
    std::vector<double> host_shared(count_, nan);
    std::vector<double> host_heads(count_, nan);
    std::vector<double> host_scratch(static_cast<std::size_t>(weighting_.scratch_size(T_)));
    std::vector<Condition> host_conditions(count_, Condition::absent);
    Evidence<> evidence;
    evidence.count = T_;
    evidence.gram = gram.data();
    evidence.losses = losses_.data();
    evidence.present = mask.data();
    evidence.step = 11 + number_;
    evidence.epoch = number_ / 2;
    evidence.loss_scale = number_ % 2 == 0 ? 8 : 1;
    weighting_(Serial{}, evidence, host_state.data(), {host_shared.data(), host_heads.data(), host_conditions.data()},
               host_scratch.data());
    const double tolerance = rule_tolerance<Rule>();
    require_near(shared, host_shared, tolerance, "shared");
    require_near(heads, host_heads, tolerance, "heads");
    require_near(state_, host_state, tolerance, "state");
    REQUIRE(conditions == host_conditions);
  }

  /// Every pair of gradients opposite to each other, which three cannot be.
  void contradict(std::vector<double>& gram) const {
    for (std::size_t i = 0; i < count_; ++i) {
      for (std::size_t j = 0; j < count_; ++j) {
        if (i != j) gram[i * count_ + j] = -std::sqrt(gram[i * (count_ + 1)] * gram[j * (count_ + 1)]);
      }
    }
  }

  Weighting<Rule> weighting_;
  int T_;
  std::size_t count_;
  std::int64_t n_;
  bool by_itself_;
  std::vector<double> state_;
  unsigned number_ = 0;
  std::vector<std::vector<float>> gradients_;
  std::vector<double> losses_;
  std::uint64_t present_ = 0;
};

/// With gradients of 70 numbers.
template <class Rule>
void check_rule(const Rule& rule, int tasks, const std::vector<RuleStep>& steps, const WeightingOptions& options = {}) {
  RuleSteps<Rule>(rule, tasks, 70, options).check(steps);
}

/// As a launch that forms no Gram matrix.
template <class Rule>
void check_rule_by_itself(const Rule& rule, int tasks, const std::vector<RuleStep>& steps) {
  RuleSteps<Rule>(rule, tasks, 70, {}, true).check(steps);
}

}  // namespace fuller::testing
