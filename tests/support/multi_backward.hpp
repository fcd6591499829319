// SPDX-License-Identifier: Apache-2.0
#pragma once

// What calibration must do, the plain way: one ordinary pass for each task's loss alone, dot products, a linear solve, sums.
// Knows nothing of forks, hooks and routes.

#include <algorithm>
#include <cmath>
#include <vector>

#include <Eigen/Dense>

#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/weighting.hpp>

#include "support/networks.hpp"

namespace fuller::testing {

/// d loss / d parameters; zeros where the loss does not reach.
inline Tensors gradient_of(const Tensor& loss, const Tensors& parameters) {
  Tensors gradients = torch::autograd::grad({loss}, parameters, {}, /*retain_graph=*/true, false, /*allow_unused=*/true);
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    gradients[i] = gradients[i].defined() ? gradients[i].detach() : torch::zeros_like(parameters[i]);
  }
  return gradients;
}

inline double dot(const Tensors& a, const Tensors& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    sum += (a[i].to(torch::kDouble) * b[i].to(torch::kDouble)).sum().item<double>();
  }
  return sum;
}

inline Eigen::MatrixXd gram_of(const std::vector<Tensors>& gradients) {
  const auto count = static_cast<Eigen::Index>(gradients.size());
  Eigen::MatrixXd M(count, count);
  for (Eigen::Index i = 0; i < count; ++i) {
    for (Eigen::Index j = 0; j < count; ++j) {
      M(i, j) = dot(gradients[static_cast<std::size_t>(i)], gradients[static_cast<std::size_t>(j)]);
    }
  }
  return M;
}

/// The Gram matrix of the losses' gradients at a surface.
inline Eigen::MatrixXd gram_at(const Tensors& losses, const Tensors& surface) {
  std::vector<Tensors> gradients;
  for (const Tensor& loss : losses) {
    gradients.push_back(gradient_of(loss, surface));
  }
  return gram_of(gradients);
}

struct Weights {
  std::vector<double> shared;
  std::vector<double> heads;
};

inline std::vector<double> to_list(const Eigen::VectorXd& values) { return {values.data(), values.data() + values.size()}; }

inline double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = a.size() == b.size() ? 0 : INFINITY;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i) {
    const double off = std::abs(a[i] - b[i]);
    largest = std::isnan(off) ? INFINITY : std::max(largest, off);
  }
  return largest;
}

/// IMTL-G from its definition, by Eigen's LU: alpha with sum_j alpha_j <g_j, u_i> the same for all i. A step longer than the
/// longest gradient over sqrt(1' C^-1 1), or uphill, is brought back to that length where a weight is negative, and no head is
/// trained uphill: the default of fuller::IMTL_G.
inline Weights imtl_g(const Eigen::MatrixXd& M) {
  const Eigen::VectorXd n = M.diagonal().cwiseSqrt();
  const Eigen::MatrixXd C = n.cwiseInverse().asDiagonal() * M * n.cwiseInverse().asDiagonal();
  const Eigen::VectorXd beta = C.fullPivLu().solve(Eigen::VectorXd::Ones(M.rows()));
  double Z = beta.cwiseQuotient(n).sum();
  if (beta.minCoeff() < 0) {
    Z = std::max(Z, beta.sum() / n.maxCoeff());
  }
  const Eigen::VectorXd alpha = beta.cwiseQuotient(n) / Z;
  return {to_list(alpha), to_list(alpha.cwiseMax(0.0))};
}

/// The same of these losses, of which the heads are not weighted: ApplyTo::shared_only.
inline Weights imtl_g_shared(const Tensors& losses, const Tensors& shared) {
  Weights weights = imtl_g(gram_at(losses, shared));
  weights.heads.assign(weights.shared.size(), 1.0);
  return weights;
}

/// A rule shown the reference's evidence, step after step, outside of any autograd graph.
template <class Rule>
class RuleAlone {
 public:
  RuleAlone(const Rule& rule, int tasks, const WeightingOptions& options = {}) : weighting_(rule, options), tasks_(tasks) {
    state.assign(static_cast<std::size_t>(weighting_.state_size(tasks)), 0.0);
    scratch_.assign(static_cast<std::size_t>(weighting_.scratch_size(tasks)), 0.0);
    weighting_.initialise(tasks, state.data());
  }

  Weights operator()(const Eigen::MatrixXd& gram, const std::vector<double>& losses, std::vector<std::uint8_t> present = {}) {
    present.resize(static_cast<std::size_t>(tasks_), present.empty() ? std::uint8_t{1} : std::uint8_t{0});
    Evidence<> evidence;
    evidence.count = tasks_;
    evidence.gram = gram.data();  // symmetric: the order of its storage is of no account
    evidence.losses = losses.data();
    evidence.present = present.data();
    evidence.step = step_++;
    evidence.epoch = epoch;
    const auto count = static_cast<std::size_t>(tasks_);
    Weights weights{std::vector<double>(count), std::vector<double>(count)};
    std::vector<Condition> conditions(count);
    weighting_(Serial{}, evidence, state.data(), {weights.shared.data(), weights.heads.data(), conditions.data()},
               scratch_.data());
    return weights;
  }

  std::vector<double> state;
  std::int64_t epoch = 0;

 private:
  Weighting<Rule> weighting_;
  int tasks_;
  std::int64_t step_ = 0;
  std::vector<double> scratch_;
};

/// The T losses of a network on x, with an ordinary graph.
inline Tensors plain_losses(Network& net, const Tensor& x) {
  const Tensors z = net.features(x);
  Tensors losses;
  for (int i = 0; i < net.tasks(); ++i) {
    losses.push_back(net.loss(i, z));
  }
  return losses;
}

/// What `.grad` of `shared` and of each task's `heads` must be: weighted sums of each task's own gradients.
inline Tensors weighted_gradients(const Tensors& losses, const Tensors& shared, const std::vector<Tensors>& heads,
                                  const Weights& weights) {
  Tensors expected;
  for (const Tensor& parameter : shared) {
    expected.push_back(torch::zeros_like(parameter));
  }
  Tensors of_heads;
  for (std::size_t i = 0; i < losses.size(); ++i) {
    const Tensors own = shared.empty() ? Tensors() : gradient_of(losses[i], shared);
    for (std::size_t k = 0; k < shared.size(); ++k) {
      expected[k] = expected[k] + weights.shared[i] * own[k];
    }
    for (const Tensor& gradient : heads[i].empty() ? Tensors() : gradient_of(losses[i], heads[i])) {
      of_heads.push_back(gradient * weights.heads[i]);
    }
  }
  append(expected, of_heads);
  return expected;
}

/// weighted_gradients() of a network, in the order of its parameters().
inline Tensors expected_gradients(Network& net, const Tensor& x, const Weights& weights) {
  std::vector<Tensors> heads;
  for (int i = 0; i < net.tasks(); ++i) {
    heads.push_back(net.head_parameters(i));
  }
  return weighted_gradients(plain_losses(net, x), net.shared_parameters(), heads, weights);
}

inline std::vector<double> values_of(const Tensors& losses) {
  std::vector<double> values;
  for (const Tensor& loss : losses) {
    values.push_back(loss.item<double>());
  }
  return values;
}

}  // namespace fuller::testing
