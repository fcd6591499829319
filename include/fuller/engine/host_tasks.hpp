// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <fuller/core/error.hpp>
#include <fuller/core/evidence.hpp>
#include <fuller/engine/failures.hpp>
#include <fuller/engine/plan.hpp>
#include <fuller/engine/task_engine.hpp>
#include <fuller/tensor/ghost_gram.hpp>
#include <fuller/tensor/ranks.hpp>
#include <fuller/tensor/reductions.hpp>
#include <fuller/tensor/sign_drop.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// The tasks' level on the host: evidence is brought there, wherever the tensors are, and the rule runs at once.
class HostTasks final : public TaskEngine {
 public:
  explicit HostTasks(std::shared_ptr<const Plan> plan) : plan_(std::move(plan)), scratch_(plan_->rule.scratch_size(), 0.0) {
    record_.memory.rule = plan_->rule.initial_state();
    record_.last = Outcome(plan_->tasks.size());
  }

  bool compares_layers() const override { return true; }
  bool fails_later() const override { return false; }
  at::Tensor noted(const at::Tensor& scale) override {
    // A copy: a function in a head may change what it gets in place.
    return scale.to(at::kCPU, at::kDouble, /*non_blocking=*/false, /*copy=*/true);
  }
  void settle(Outcome& /*outcome*/) override {}

  void add_gram(const std::vector<at::Tensor>& gradients, at::Tensor& gram) const override {
    const auto tasks = static_cast<std::int64_t>(gradients.size());
    TaskTensors lists;
    for (const at::Tensor& gradient : gradients) {
      lists.push_back({gradient});
    }
    const at::Tensor products = at::zeros({tasks, tasks}, at::kDouble);
    gram_matrix(lists, products.data_ptr<double>());
    gram = gram.defined() ? gram.add_(products) : products;
  }

  bool add_gram_by_rows(const at::Tensor& x, const std::vector<at::Tensor>& of_product, at::Tensor& gram) const override {
    const auto is_there = [](const at::Tensor& gradient) { return gradient.defined(); };
    const auto first = std::find_if(of_product.begin(), of_product.end(), is_there);
    if (first == of_product.end()) {
      return true;
    }
    const auto present = std::count_if(of_product.begin(), of_product.end(), is_there);
    if (!x.device().is_cpu() || !ghost_pays(x.size(0), x.size(1), first->size(1), static_cast<int>(present))) {
      return false;
    }
    const auto tasks = static_cast<std::int64_t>(of_product.size());
    const at::Tensor products = at::zeros({tasks, tasks}, at::kDouble);
    ghost_gram_matrix(x, of_product, /*with_bias=*/false, products.data_ptr<double>());
    gram = gram.defined() ? gram.add_(products) : products;
    return true;
  }

  at::Tensor combined(at::TensorList cotangents, const Outcome& outcome, std::size_t place) override {
    if (const SignDrop* const rule = plan_->rule.sign_drop()) {
      const std::int64_t step = record_.memory.steps - 1;  // the rule was asked
      return sign_dropped(cotangents, outcome.verdict.shared.data(), *rule, {rule->seed, step, plan_->sequence_of(place)});
    }
    return weighted_sum(cotangents, outcome.verdict.shared.data());
  }

  at::Tensor for_head(std::size_t task, const at::Tensor& gradient, const Outcome& outcome) override {
    const double weight = plan_->head_policy().weight(outcome.verdict, task);
    if (weight == 1.0) {
      return gradient;
    }
    if (weight == 0.0) {  // by selection: the gradient of a task that is left out may be NaN
      return at::zeros_like(gradient);
    }
    // Two parameters' gradients can be views of one storage; scaling one in place would then scale the other.
    const bool alone = gradient.layout() == at::kStrided && gradient.storage().use_count() == 1;
    if (!alone) {
      return gradient.mul(weight);
    }
    return scale_small(gradient, weight) ? gradient : gradient.mul_(weight);
  }

 protected:
  Record known() const override { return record_; }

  void set_epoch(std::int64_t epoch) override { record_.memory.epochs = epoch; }

  void ask(const StepEvidence& shown, Outcome& outcome) override {
    outcome.loss_scale = std::abs(shown.scale.item<double>());
    if (outcome.measured) {
      measure(shown, outcome.gram);
    }
    const bool reads_losses = plan_->rule.needs().losses && !outcome.held;
    if (reads_losses) {
      read_losses(shown, outcome.losses);
    }
    Memory& memory = record_.memory;
    Evidence<> evidence;
    evidence.count = static_cast<int>(plan_->tasks.size());
    evidence.gram = outcome.measured ? outcome.gram.data() : nullptr;
    evidence.losses = reads_losses ? outcome.losses.data() : nullptr;
    evidence.present = outcome.present.data();
    evidence.step = memory.steps;
    evidence.epoch = memory.epochs;
    evidence.loss_scale = outcome.loss_scale;
    evidence.held = outcome.held;
    before_ = memory.rule;  // what throws leaves the memory as it was
    try {
      plan_->rule(evidence, memory.rule.data(), outcome.verdict, scratch_.data());
      record_.last = outcome;
      if (throws(plan_->options.non_finite)) {
        expect_success(outcome.verdict);
      }
    } catch (...) {
      memory.rule = before_;
      throw;
    }
    ++memory.steps;
  }

  void take(const Record& record) override { record_ = record; }

 private:
  void measure(const StepEvidence& shown, std::vector<double>& gram) const {
    if (shown.gram.defined()) {
      std::copy_n(shown.gram.data_ptr<double>(), gram.size(), gram.begin());
      return;
    }
    if (shown.layer_input.defined()) {
      std::vector<at::Tensor> of_output;
      std::transform(shown.gradients.begin(), shown.gradients.end(), std::back_inserter(of_output),
                     [](const auto& list) { return list.empty() ? at::Tensor() : list.front(); });
      ghost_gram_matrix(shown.layer_input, of_output, /*with_bias=*/false, gram.data());
      return;
    }
    gram_matrix(shown.gradients, gram.data());
    const Ranks& ranks = plan_->options.ranks;
    if (ranks.average && shown.of_own_samples) {
      // The loss is a mean over ranks, so each rank's cotangents are its share 1 / R: sum_r <dz_i, dz_j>_r / R^2.
      average(ranks, gram, {"the Gram matrix", record_.memory.steps});
      std::for_each(gram.begin(), gram.end(), [&](double& product) { product /= ranks.count; });
    }
  }

  void read_losses(const StepEvidence& shown, std::vector<double>& losses) const {
    const std::vector<at::Tensor>& given = shown.losses;
    std::vector<double> shares;  // 0 where a task is absent
    for (std::size_t i = 0; i < given.size(); ++i) {
      losses[i] = given[i].defined() ? given[i].item<double>() : 0.0;
      const double share = shown.shares.empty() || !given[i].defined() ? shown.share : shown.shares[i].item<double>();
      shares.push_back(given[i].defined() ? share : 0.0);
    }
    if (plan_->options.ranks.average) {
      average_losses(plan_->options.ranks, shares, losses, {"the losses", record_.memory.steps});
    }
  }

  /// NonFinite::throw_error: the rule itself does not stand still for a zero gradient.
  void expect_success(const Verdict& verdict) const {
    const Memory& memory = record_.memory;
    for (std::size_t i = 0; i < plan_->tasks.size(); ++i) {
      const Condition condition = verdict.conditions[i];
      if (is_failure(condition)) {
        throw_failure(memory.steps, plan_->tasks[i], condition);
      }
      if (condition == Condition::used && !std::isfinite(verdict.shared[i])) {
        throw NonFiniteError(message("in step ", memory.steps, " the rule '", plan_->rule.name(), "' gives task '",
                                     plan_->tasks[i], "' the weight ", verdict.shared[i],
                                     " for gradients and losses that are finite"));
      }
    }
  }

  /// Scales a small gradient here, as mul_ would, whose way through the dispatcher takes longer than the product: heads have
  /// dozens of them.
  static bool scale_small(const at::Tensor& gradient, double weight) {
    constexpr std::int64_t few = 4096;
    if (!gradient.device().is_cpu() || gradient.numel() > few || !gradient.is_non_overlapping_and_dense()) {
      return false;
    }
    const auto scale = [&](auto* values) {
      const auto factor = static_cast<std::remove_pointer_t<decltype(values)>>(weight);
      for (std::int64_t k = 0; k < gradient.numel(); ++k) {
        values[k] *= factor;
      }
    };
    if (gradient.scalar_type() == at::kFloat) {
      scale(static_cast<float*>(gradient.data_ptr()));
    } else if (gradient.scalar_type() == at::kDouble) {
      scale(static_cast<double*>(gradient.data_ptr()));
    } else {
      return false;
    }
    gradient.unsafeGetTensorImpl()->bump_version();
    return true;
  }

  std::shared_ptr<const Plan> plan_;
  Record record_;
  std::vector<double> scratch_;
  std::vector<double> before_;  ///< the rule's state before the step that runs
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
