// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

// Everything a trainer needs.

#include <fuller/backward/unimodal_assist.hpp>
#include <fuller/calibration.hpp>
#include <fuller/calibrators/calibrators.hpp>
#include <fuller/gates/gates.hpp>
#include <fuller/version.hpp>

#ifndef FULLER_SEPARATE_MEMBERS
#include <fuller/members.hpp>
#endif

#endif  // FULLER_STANDARD
