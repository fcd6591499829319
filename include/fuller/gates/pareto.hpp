// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/calibrators/options.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {

struct ParetoOptions {
  /// What the combined gradient is multiplied with, > 0. An adaptive optimiser divides it out again.
  double gamma = 1.5;
};

/// What the two gradients of a branch are multiplied with.
struct ParetoScales {
  double fused = 1;     ///< that of the fused loss
  double unimodal = 1;  ///< that of the branch's own
};

/// MMPareto, "MMPareto: boosting multimodal learning with innocent unimodal assistance" (Wei and Hu, ICML 2024): a branch that
/// learns from the fused loss, by g_f, and from a loss of a head of its own, by g_u. Where the two agree, both count alike; where
/// they conflict, the shortest vector of their hull is the direction, along which neither loss rises:
///   h = g_f + g_u                                                            <g_f, g_u> >= 0
///   h = 2 (w g_f + (1 - w) g_u),  w = (|g_u|^2 - <g_f, g_u>) / |g_f - g_u|^2   else
/// and so that noise of the length is not lost, which the paper finds to help generalisation, h is brought to the length of
/// g_f + g_u where it is shorter, and then multiplied with gamma.
///
/// Here the gradients are those of the branch's feature, its two cotangents, where the paper has those of each of its layers'
/// parameters: one backward in place of one for each loss, one decision for a branch, not the same numbers. See UnimodalAssist.
///
/// A product within 1e-12 of |g_f| |g_u| counts as 0. Opposite gradients, to 1e-6 in the angle, have no direction that serves
/// both: the branch then gets gamma (g_f + g_u). Where one of the two is 0 or missing, or not finite, both scales are 1. Scales
/// do not change where both gradients are multiplied with one number; no norm ratio matters.
///
/// No state.
struct Pareto {
  static constexpr const char* name = "Pareto";

  ParetoOptions options;

  Pareto() = default;
  explicit Pareto(const ParetoOptions& chosen) : options(chosen) {}

  /// @throws Error for an option outside its range.
  void expect_sense() const {
    detail::require("Pareto: option gamma", options.gamma, options.gamma > 0 && options.gamma <= 100, "(0, 100]");
  }

  /// From the Gram matrix of the two gradients.
  FULLER_HD ParetoScales operator()(double fused_square, double product, double unimodal_square) const {
    const double n_f = std::sqrt(fused_square);
    const double n_u = std::sqrt(unimodal_square);
    if (!(n_f > 0 && n_u > 0 && detail::is_finite(n_f) && detail::is_finite(n_u) && detail::is_finite(product))) {
      return {};
    }
    const double cosine = product / n_f / n_u;
    const double square_of_sine = (1 - cosine) * (1 + cosine);
    if (cosine >= -detail::rounding_noise || square_of_sine < detail::rounding_noise) {
      return {options.gamma, options.gamma};
    }
    // In units of the longer one, where no square leaves the range of doubles.
    const double longer = detail::larger(n_f, n_u);
    const double f = n_f / longer;
    const double u = n_u / longer;
    const double apart = (f - u) * (f - u) + 2 * f * u * (1 - cosine);
    const double together = (f - u) * (f - u) + 2 * f * u * (1 + cosine);
    const double length = 2 * f * u * std::sqrt(square_of_sine / apart);  // of h
    const double stretch = options.gamma * detail::larger(1, std::sqrt(together) / length);
    return {2 * stretch * u * (u - f * cosine) / apart, 2 * stretch * f * (f - u * cosine) / apart};
  }
};

}  // namespace v0_1
}  // namespace fuller
