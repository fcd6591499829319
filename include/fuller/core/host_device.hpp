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
