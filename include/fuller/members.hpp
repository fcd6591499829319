// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/stable_subset.hpp>
#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L && !FULLER_STABLE_SUBSET

// The bodies of what fuller.hpp declares. fuller.hpp includes them, unless FULLER_SEPARATE_MEMBERS is defined (core/member.hpp).

#include <fuller/backward/unimodal_assist_members.hpp>
#include <fuller/calibration_members.hpp>
#include <fuller/snapshot_members.hpp>

#endif  // FULLER_STANDARD
