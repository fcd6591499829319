// SPDX-License-Identifier: Apache-2.0
#pragma once

// To be asked before any header of LibTorch is included: each of those would have an error of its own to add.
#if defined(TORCH_TARGET_VERSION) || defined(TORCH_STABLE_ONLY)
#define FULLER_STABLE_SUBSET 1
#error \
    "fuller works inside LibTorch's autograd, which the stable subset of LibTorch's API leaves out: compile the files that include fuller/fuller.hpp without TORCH_TARGET_VERSION and TORCH_STABLE_ONLY"
#else
#define FULLER_STABLE_SUBSET 0
#endif
