// SPDX-License-Identifier: Apache-2.0
// fuller.hpp before anything else, without torch/torch.h: it must bring what it needs.
#include <fuller/fuller.hpp>

#include "compile/umbrella.hpp"

const char* const* version_seen_first() { return &fuller::version; }
