// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The version of the library: the only place it is written down, read by the build system too. Macros, so that a user's
/// preprocessor can compare them.
#define FULLER_VERSION_MAJOR 0
#define FULLER_VERSION_MINOR 1
#define FULLER_VERSION_PATCH 0

namespace fuller {
inline namespace v0_1 {

/// The version as `major.minor.patch`.
inline constexpr const char* version = "0.1.0";

}  // namespace v0_1
}  // namespace fuller
