// SPDX-License-Identifier: Apache-2.0
// fuller::core alone: one rule of the field on a Gram matrix, without LibTorch.
#include <fuller/core/evidence.hpp>
#include <fuller/version.hpp>

#include <iostream>

int main() {
  std::cout << "fuller " << fuller::version << '\n';
  return 0;
}
