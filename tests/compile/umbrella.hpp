// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Where the translation unit with nothing but fuller.hpp sees fuller::version, and where the one with all of LibTorch does.
const char* const* version_seen_first();
const char* const* version_seen_last();
