// SPDX-License-Identifier: Apache-2.0
#include "compile/umbrella.hpp"

#include "support/catch.hpp"

TEST_CASE("two translation units with fuller.hpp share one library", "[odr]") {
  CHECK(version_seen_first() == version_seen_last());
}
