// SPDX-License-Identifier: Apache-2.0
#include "bevfusion/tests/fuzz/fuzz_targets.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t count) {
  bevfusion::fuzz::tables_index(bytes, count);
  return 0;
}
