// SPDX-License-Identifier: Apache-2.0
// A user's shared library with kernels of its own.

#include <fuller/cuda/kernel_table.hpp>

extern "C" __attribute__((visibility("default"))) const void* kernels_of_this_library() { return fuller::cuda::linked_kernels(); }
