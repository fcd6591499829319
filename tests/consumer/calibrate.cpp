// SPDX-License-Identifier: Apache-2.0
// fuller::core alone: a rule on a Gram matrix, without LibTorch. Orthogonal gradients of lengths 1 and 2: IMTL-G makes their
// weighted lengths equal, so the weights are as 2 to 1.
#include <fuller/calibrators/calibrators.hpp>
#include <fuller/version.hpp>

#include <cmath>
#include <cstdint>
#include <iostream>
#include <vector>

int main() {
  const double gram[] = {1, 0, 0, 4};
  const std::uint8_t present[] = {1, 1};
  fuller::Evidence<2> evidence;
  evidence.gram = gram;
  evidence.present = present;

  const fuller::IMTL_G rule;
  std::vector<double> state(static_cast<std::size_t>(rule.state_size(2)));
  std::vector<double> scratch(static_cast<std::size_t>(rule.scratch_size(2)));
  double weights[2] = {};
  rule.initialise(2, state.data());
  rule(fuller::Serial{}, evidence, state.data(), weights, scratch.data());

  std::cout << "fuller " << fuller::version << ": " << weights[0] << ' ' << weights[1] << '\n';
  return std::abs(weights[0] - 2 * weights[1]) < 1e-12 && weights[1] > 0 ? 0 : 1;
}
