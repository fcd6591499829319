// SPDX-License-Identifier: Apache-2.0
// What must not compile: a kernel that calls a host function out of a function for both sides.

#include <fuller/core/host_device.hpp>

int host_only() { return 1; }

FULLER_HD int both() { return host_only(); }

__global__ void kernel(int* out) { *out = both(); }
