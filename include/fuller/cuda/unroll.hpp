// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Before a loop: what runs on the device is to have no loop, so that arrays it walks through stay in registers. A macro, since a
/// pragma cannot be a function; the host's compilers know another one and decide for themselves.
#if defined(__CUDA_ARCH__)
#define FULLER_UNROLL _Pragma("unroll")
#else
#define FULLER_UNROLL
#endif
