// SPDX-License-Identifier: Apache-2.0
// fuller.hpp after all of LibTorch and after macros that other libraries define.
#include <torch/torch.h>

#include "compile/poison.hpp"

#include <fuller/fuller.hpp>

#include "compile/umbrella.hpp"

const char* const* version_seen_last() { return &fuller::version; }
