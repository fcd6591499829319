// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

// Every gate law, and what a law is.
#include <fuller/gates/agm.hpp>
#include <fuller/gates/cggm.hpp>
#include <fuller/gates/law.hpp>
#include <fuller/gates/levels.hpp>
#include <fuller/gates/mlb.hpp>
#include <fuller/gates/modality_gate.hpp>
#include <fuller/gates/norms.hpp>
#include <fuller/gates/ogm.hpp>
#include <fuller/gates/pareto.hpp>

#endif  // FULLER_STANDARD
