// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

// Every modality law.
#include <fuller/gates/modality_gate.hpp>

#endif  // FULLER_STANDARD
