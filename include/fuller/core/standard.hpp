// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The C++ standard that the compiler follows, as in __cplusplus (which MSVC leaves at 199711 unless asked).
#if defined(_MSVC_LANG)
#define FULLER_STANDARD _MSVC_LANG
#else
#define FULLER_STANDARD __cplusplus
#endif

// The one thing to say to an older standard. Headers that a program includes first leave out the rest, so that this is all it
// sees.
#if FULLER_STANDARD < 201703L
#error "fuller needs C++17 or newer: compile with -std=c++17, or in CMake target_compile_features(your_target PRIVATE cxx_std_17)"
#endif
