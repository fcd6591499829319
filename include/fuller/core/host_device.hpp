// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>

/// Marks a function that runs on the host and, where a CUDA compiler reads it, on the device too. It must be a macro: no
/// function can carry the two attributes for another.
#if defined(__CUDACC__)
#define FULLER_HD __host__ __device__
#else
#define FULLER_HD
#endif

/// Keeps a long function that several rules call from being compiled into each of them on a device, whose assembler takes
/// minutes.
#if defined(__CUDACC__)
#define FULLER_NOINLINE __attribute__((noinline))
#else
#define FULLER_NOINLINE
#endif
