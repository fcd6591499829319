// SPDX-License-Identifier: Apache-2.0
#pragma once

// One name for the two generations of Catch2: single header (2.x, Debian) and library (3.x).
#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Approx;
#else
#include <catch2/catch.hpp>
#endif

#include <string>

namespace fuller::testing {

/// Notes, with its reason, that the running test case cannot be done here. A program all of whose cases say so ends with the
/// status that CTest reports as "Skipped".
void skip(const std::string& reason);

}  // namespace fuller::testing

/// Leaves a test case that lacks something on this machine (data, a device), and says so. A macro, to return from the caller.
#define FULLER_SKIP(reason)          \
  do {                               \
    ::fuller::testing::skip(reason); \
    return;                          \
  } while (false)
