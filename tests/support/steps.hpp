// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include <Eigen/Dense>

#include <fuller/calibrators/calibrators.hpp>

#include "support/known.hpp"

namespace fuller::testing {

using Vectors = std::vector<std::vector<double>>;
/// T gradients as rows.
using Jacobian = Eigen::MatrixXd;

/// One step's evidence with its storage.
struct Step {
  int tasks = 0;
  std::vector<double> gram;
  std::vector<double> losses;
  std::vector<std::uint8_t> present;
  std::int64_t step = 0;
  std::int64_t epoch = 0;
  double loss_scale = 1;
  bool held = false;

  template <int Tasks = dynamic>
  Evidence<Tasks> view() const {
    Evidence<Tasks> evidence;
    evidence.count = tasks;
    evidence.gram = gram.data();
    evidence.losses = losses.data();
    evidence.present = present.data();
    evidence.step = step;
    evidence.epoch = epoch;
    evidence.loss_scale = loss_scale;
    evidence.held = held;
    return evidence;
  }

  Eigen::MatrixXd gram_matrix() const {
    return Eigen::Map<const Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>(gram.data(), tasks, tasks);
  }
};

/// The Gram matrix of the rows of J, in long double and rounded once; losses 1, 2, ..., T; all tasks present.
inline Step step_of(const Jacobian& J) {
  const Eigen::Matrix<long double, Eigen::Dynamic, Eigen::Dynamic> wide = J.cast<long double>();
  const Eigen::MatrixXd M = (wide * wide.transpose()).eval().cast<double>();
  Step step;
  step.tasks = static_cast<int>(J.rows());
  for (int i = 0; i < step.tasks; ++i) {
    for (int j = 0; j < step.tasks; ++j) {
      step.gram.push_back(M(i, j));
    }
    step.losses.push_back(i + 1.0);
  }
  step.present.assign(static_cast<std::size_t>(step.tasks), 1);
  return step;
}

/// T gradients of P numbers: normal, with a common part (negative: conflict-heavy) and lengths spread over e^-spread .. e^spread.
inline Jacobian random_jacobian(int T, int P, std::mt19937_64& random, double common = 0, double spread = 1) {
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> length(-spread, spread);
  const Eigen::VectorXd shared = Eigen::VectorXd::NullaryExpr(P, [&] { return normal(random); });
  Jacobian J(T, P);
  for (int i = 0; i < T; ++i) {
    for (int p = 0; p < P; ++p) {
      J(i, p) = normal(random) + (i % 2 == 0 ? 1 : -1) * common * shared(p);
    }
    J.row(i) *= std::exp(length(random));
  }
  return J;
}

/// A rule with what it needs to be called.
template <class Rule>
class Runner {
 public:
  Runner(const Rule& rule, int tasks)
      : rule_(rule),
        state(static_cast<std::size_t>(rule.state_size(tasks))),
        scratch_(static_cast<std::size_t>(rule.scratch_size(tasks)) + 1),
        weights_(static_cast<std::size_t>(tasks)) {
    rule_.initialise(tasks, state.data());
  }

  const std::vector<double>& operator()(const Step& step) { return call<dynamic>(Serial{}, step); }

  const std::vector<double>& weights() const { return weights_; }

  template <int Tasks, class Lanes>
  const std::vector<double>& call(Lanes lanes, const Step& step) {
    rule_(lanes, step.view<Tasks>(), state.data(), weights_.data(), scratch_.data());
    return weights_;
  }

 private:
  Rule rule_;

 public:
  std::vector<double> state;

 private:
  std::vector<double> scratch_;
  std::vector<double> weights_;
};

/// A rule under its policies with what it needs to be called.
template <class Rule>
class WeightingRunner {
 public:
  WeightingRunner(const Rule& rule, int tasks, const WeightingOptions& options = {})
      : weighting_(rule, options),
        state(static_cast<std::size_t>(weighting_.state_size(tasks))),
        shared(static_cast<std::size_t>(tasks)),
        heads(static_cast<std::size_t>(tasks)),
        conditions(static_cast<std::size_t>(tasks)),
        scratch_(static_cast<std::size_t>(weighting_.scratch_size(tasks))) {
    weighting_.initialise(tasks, state.data());
  }

  const std::vector<double>& operator()(const Step& step) {
    call<dynamic>(Serial{}, step);
    return shared;
  }

  template <int Tasks, class Lanes>
  void call(Lanes lanes, const Step& step) {
    weighting_(lanes, step.view<Tasks>(), state.data(), WeightsView{shared.data(), heads.data(), conditions.data()},
               scratch_.data());
  }

 private:
  Weighting<Rule> weighting_;

 public:
  std::vector<double> state;
  std::vector<double> shared;
  std::vector<double> heads;
  std::vector<Condition> conditions;

 private:
  std::vector<double> scratch_;
};

/// The update sum_i w_i g_i.
inline Eigen::VectorXd update(const Jacobian& J, const std::vector<double>& weights) {
  return J.transpose() * Eigen::Map<const Eigen::VectorXd>(weights.data(), static_cast<Eigen::Index>(weights.size()));
}

/// Whether weights are proportional to a power of 1 / n_i.
template <class Rule>
constexpr bool has_inverse_weights =
    std::is_same_v<Rule, FairGrad> || std::is_same_v<Rule, NashMTL> || std::is_same_v<Rule, Balancer>;

/// What weights are divided by where all gradients are multiplied by `scale`.
template <class Rule>
double unit_of_weights(const Rule& rule, double scale) {
  if constexpr (std::is_same_v<Rule, FairGrad>) {
    return std::pow(scale, 2 * rule.options.alpha / (1 + rule.options.alpha));
  } else {
    return has_inverse_weights<Rule> ? scale : 1;
  }
}

/// Whether gradients times a factor have other weights: GradNorm's published step under SGD is proportional to the gradients, and
/// bargains and balancers give weights proportional to a power of 1 / n_i.
template <class Rule>
bool has_a_unit(const Rule& rule) {
  if constexpr (std::is_same_v<Rule, GradNorm>) {
    return rule.options.optimizer == GradNormOptions::Optimizer::sgd;
  } else {
    return has_inverse_weights<Rule> || std::is_same_v<Rule, PCD>;
  }
}

/// Whether a task that is alone in a run has the weight 1.
template <class Rule>
constexpr bool gives_one_to_a_task_alone =
    !std::is_same_v<Rule, Constant> && !std::is_same_v<Rule, DBMTL> && !std::is_same_v<Rule, FairGrad> &&
    !std::is_same_v<Rule, NashMTL> && !std::is_same_v<Rule, CAGrad> && !std::is_same_v<Rule, UW> &&
    !std::is_same_v<Rule, IMTL_L> && !std::is_same_v<Rule, Balancer> && !std::is_same_v<Rule, LDC>;

/// Calls body(rule) for the first rules in the modes that change their arithmetic.
template <class Body>
void for_first_modes(const Body& body) {
  for (const auto negative : {IMTL_G_Options::Negative::clamp, IMTL_G_Options::Negative::paper}) {
    IMTL_G_Options options;
    options.negative = negative;
    options.sum = WeightSum::tasks;
    body(IMTL_G(options));
  }
  GradNormOptions adam;
  adam.optimizer = GradNormOptions::Optimizer::adam;
  body(GradNorm(adam));
  WPCGradOptions literal;
  literal.literal_algorithm_2 = true;
  body(WPCGrad(literal));
}

/// Calls body(rule) for rules of every kind, in every mode that changes their arithmetic: with and without Gram matrix, losses,
/// state, chance and negative weights. For programs with LibTorch, where each rule is a minute of the compiler's and all that
/// they ask is what a rule needs and leaves.
template <class Body>
void for_rules_of_every_kind(int tasks, const Body& body) {
  for_every_known(cuda::RuleList<Uniform, Constant, IMTL_G, GradNorm, DWA, PCGrad, WPCGrad<DTP>, WPCGrad<PhaseSchedule>>(), tasks,
                  body);
  for_first_modes(body);
}

/// Calls body(rule) for every rule, in every mode that changes its arithmetic.
template <class Body>
void for_every_rule(int tasks, const Body& body) {
  for_every_known_rule(tasks, body);
  for_every_known(cuda::HostRules(), tasks, body);
  for_every_known(cuda::ElementRules(), tasks, body);
  for_first_modes(body);
  AlignedMTLOptions median;
  median.scale = AlignedMTLOptions::Scale::median;
  median.sum = WeightSum::one;
  body(AlignedMTL(median));
  FairGradOptions fairer;
  fairer.alpha = 2;
  fairer.sum = WeightSum::tasks;
  body(FairGrad(fairer));
  NashMTLOptions bargained;
  bargained.max_norm = 0;
  body(NashMTL(bargained));
  CAGradOptions bold;
  bold.c = 1.5;
  bold.rescale = CAGradOptions::Rescale::one;
  body(CAGrad(bold));
  for (const auto normalise : {LDCOptions::Normalise::none, LDCOptions::Normalise::log_initial}) {
    LDCOptions options;
    options.normalise = normalise;
    body(LDC(options));
  }
}

}  // namespace fuller::testing
