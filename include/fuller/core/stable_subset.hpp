// SPDX-License-Identifier: Apache-2.0
#pragma once

// The first include of every header that includes LibTorch, whose own headers would have other errors to add.
#if defined(TORCH_TARGET_VERSION) || defined(TORCH_STABLE_ONLY)
#define FULLER_STABLE_SUBSET 1
#error \
    "fuller works inside LibTorch's autograd, which the stable subset of LibTorch's API leaves out: compile the files that include its headers without TORCH_TARGET_VERSION and TORCH_STABLE_ONLY"
#else
#define FULLER_STABLE_SUBSET 0
#endif
