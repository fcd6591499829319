// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <string>

namespace example {

using Point = std::array<double, 2>;

/// Two losses of a point, and their gradients.
struct Losses {
  std::array<double, 2> values{};
  std::array<Point, 2> gradients{};
};

/// Two losses of two parameters, with their gradients by hand.
struct Problem {
  std::function<Losses(const Point&)> at;
  double below = 0;  ///< less than any loss: taken from those that rules are shown which are made for losses > 0
};

/// The toy problem of CAGrad (Liu et al., NeurIPS 2021), as Nash-MTL (Navon et al., ICML 2022) changed it: the first loss in
/// another unit. Two narrow valleys in the upper half plane, two bowls in the lower one.
inline Problem toy(double scale_of_first = 0.1) {
  // log max(|u|, 5e-6) + 6 by u, and with it by what u depends on.
  const auto valley = [](double u, double& slope) {
    constexpr double least = 0.000005;
    slope = std::abs(u) > least ? 1 / u : 0;
    return std::log(std::max(std::abs(u), least)) + 6;
  };
  const auto at = [valley, scale_of_first](const Point& x) {
    const double t = std::tanh(x[1]);
    const double half = std::tanh(0.5 * x[1]);
    const double upper = std::max(half, 0.0);
    const double lower = std::max(-half, 0.0);
    const double of_half =
        0.5 * (1 - half * half);  // d half / d x_2; where half is 0, the authors' clamps let both sides through
    Losses out;
    for (std::size_t i = 0; i < 2; ++i) {
      const double side = i == 0 ? 1 : -1;
      const double u = i == 0 ? 0.5 * (-x[0] - 7) + t : 0.5 * (-x[0] + 3) - t + 2;
      double slope = 0;
      const double log = valley(u, slope);
      const double across = -x[0] + 7 * side;
      const double along = -x[1] - 8;
      const double bowl = (across * across + 0.1 * along * along) / 10 - 20;
      out.values[i] = log * upper + bowl * lower;
      out.gradients[i][0] = upper * slope * -0.5 - lower * 2 * across / 10;
      out.gradients[i][1] = upper * slope * side * (1 - t * t) - lower * 2 * 0.1 * along / 10 + (half >= 0 ? log * of_half : 0) -
                            (half <= 0 ? bowl * of_half : 0);
    }
    out.values[0] *= scale_of_first;
    out.gradients[0][0] *= scale_of_first;
    out.gradients[0][1] *= scale_of_first;
    return out;
  };
  return {at, -21};
}

/// From where Nash-MTL's authors descend.
inline const std::array<Point, 5>& toy_starts() {
  static const std::array<Point, 5> starts{{{-8.5, 7.5}, {0, 0}, {9, 9}, {-7.5, -0.5}, {9, -1}}};
  return starts;
}

/// What is to be known of two quadratics k_i / 2 |x - c_i|^2.
struct Quadratics {
  double scale = 1;     ///< k_2 / k_1: in what unit the second loss comes
  double distance = 4;  ///< of the two minima, which lie on the x axis around the origin
};

inline std::array<Point, 2> minima(const Quadratics& knobs) { return {Point{-knobs.distance / 2, 0}, {knobs.distance / 2, 0}}; }

/// Two bowls whose Pareto set is the line between their minima. What rules do there is known: see the tests.
inline Problem quadratics(const Quadratics& knobs) {
  return {[knobs](const Point& x) {
            const auto centres = minima(knobs);
            Losses out;
            for (std::size_t i = 0; i < 2; ++i) {
              const double k = i == 0 ? 1 : knobs.scale;
              const double a = x[0] - centres[i][0];
              const double b = x[1] - centres[i][1];
              out.values[i] = k / 2 * (a * a + b * b);
              out.gradients[i] = {k * a, k * b};
            }
            return out;
          },
          -0.01};
}

/// The point from where the minima are seen under this angle, in (0, pi): the angle between the two gradients, nothing of
/// conflict below pi / 2 and all above. `lean` in (-1, 1) moves it to the side of the second minimum.
inline Point seen_under(const Quadratics& knobs, double angle, double lean = 0) {
  // On the circle through both minima from which they are seen so; lean is the share of the way to where they are met.
  const double radius = knobs.distance / 2 / std::sin(angle);
  const double centre = knobs.distance / 2 / std::tan(angle);
  const double turn = lean * (3.14159265358979323846 - angle);
  return {radius * std::sin(turn), centre + radius * std::cos(turn)};
}

}  // namespace example
