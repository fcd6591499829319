// SPDX-License-Identifier: Apache-2.0
// Linked with a translation unit for every public header: what two of them define must be one thing.
#include <fuller/version.hpp>

#include <string>

#include "compile/other_unit.hpp"
#include "support/catch.hpp"

TEST_CASE("version: the text is what the macros say", "[version]") {
  const std::string from_macros = std::to_string(FULLER_VERSION_MAJOR) + "." + std::to_string(FULLER_VERSION_MINOR) + "." +
                                  std::to_string(FULLER_VERSION_PATCH);
  CHECK(from_macros == fuller::version);
}

TEST_CASE("two translation units share one library", "[odr]") { CHECK(&fuller::version == version_of_other_unit()); }
