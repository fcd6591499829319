// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {
namespace detail {

/// Adam (Kingma and Ba 2015) on one number, over a rule's flat state: first moment, second moment, count of steps. Each number
/// counts its own steps, so that one which is absent for a while goes on where it was.
struct Adam {
  double learning_rate;
  double beta_1 = 0.9;
  double beta_2 = 0.999;
  double epsilon = 1e-8;

  /// Longer ones count as this: their squares are no doubles.
  static constexpr double largest_gradient = 1e150;
  /// Doubles of state for each number.
  static constexpr int state = 3;

  /// The step to add, from the gradient; `moments[0]`, `moments[stride]` and `moments[2 * stride]` are the state.
  FULLER_HD double step(double gradient, double* moments, int stride) const {
    double& first = moments[0];
    double& second = moments[stride];
    double& count = moments[2 * stride];
    const double g = gradient > largest_gradient ? largest_gradient : larger(gradient, -largest_gradient);
    first = beta_1 * first + (1 - beta_1) * g;
    second = beta_2 * second + (1 - beta_2) * (g * g);
    count += 1;
    const double mean = first / (1 - std::pow(beta_1, count));
    const double square = second / (1 - std::pow(beta_2, count));
    return -learning_rate * mean / (std::sqrt(square) + epsilon);
  }

  /// Whether steps can have left these. By Cauchy and Schwarz |first| <= (1 - b_1) / sqrt((1 - b_1^2 / b_2) (1 - b_2))
  /// sqrt(second), 7.3 for the default betas, but for squares that are too small for a double.
  static bool fits(const double* moments, int stride) {
    const double first = moments[0], second = moments[stride], count = moments[2 * stride];
    return second >= 0 && second <= 1.001 * largest_gradient * largest_gradient &&
           std::fabs(first) <= 8 * std::sqrt(second) + 1e-150 && is_finite(count) && count >= 0;
  }
};

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
