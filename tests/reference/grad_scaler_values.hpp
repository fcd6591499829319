// SPDX-License-Identifier: Apache-2.0
// Written by grad_scaler_values.py with torch 2.11.0.
#pragma once

#include <cmath>
#include <vector>

namespace fuller::testing {

/// The unscaled gradients of both parameters in each step, and whether the second has any.
struct ScalerStep {
  std::vector<float> first, second;
  bool has_second;
};

inline const std::vector<ScalerStep> scaler_steps{
    {{1.0, -2.0, 0.5}, {3.0, 1.0}, true},  {{0.25, 4.0, 1.0}, {INFINITY, 1.0}, true}, {{1.0, 1.0, 1.0}, {1.0, 1.0}, true},
    {{2.0, -1.0, 1.0}, {0.5, 0.5}, true},  {{NAN, 1.0, 1.0}, {0.0, 0.0}, false},      {{1.5, 1.0, -1.0}, {1.0, 2.0}, true},
    {{1.0, 2.0, 1.0}, {1.0, 1.0}, true},   {{1.0, 0.5, 1.0}, {1.0, -1.0}, true},      {{1.0, 0.5, 8.0}, {-INFINITY, NAN}, true},
    {{1.0, 0.5, 2.0}, {1.0, 0.125}, true}, {{4.0, 0.5, 1.0}, {1.0, 1.0}, true},
};

/// After each step: the scale, finite steps since it moved, the first parameter (3), the second (2).
inline const std::vector<std::vector<double>> scaler_expected{
    {1024.0, 1.0, 0.75, 2.5, 2.875, -1.75, 0.25},         {512.0, 0.0, 0.6875, 2.25, 2.625, -1.75, 0.25},
    {512.0, 1.0, 0.4375, 2.0, 2.375, -2.0, 0.0},          {512.0, 2.0, 0.1875, 2.25, 2.125, -2.125, -0.125},
    {256.0, 0.0, 0.1875, 2.25, 2.125, -2.125, -0.125},    {256.0, 1.0, -0.0625, 2.0, 2.375, -2.375, -0.625},
    {256.0, 2.0, -0.3125, 1.5, 2.125, -2.625, -0.875},    {512.0, 0.0, -0.5625, 1.375, 1.875, -2.875, -0.625},
    {256.0, 0.0, -0.8125, 1.25, -0.125, -2.875, -0.625},  {256.0, 1.0, -1.0625, 1.125, -0.375, -3.125, -0.65625},
    {256.0, 2.0, -2.0625, 1.0, -0.625, -3.375, -0.90625},
};

}  // namespace fuller::testing
