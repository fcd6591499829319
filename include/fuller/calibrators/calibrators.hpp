// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

// Every calibrator.
#include <fuller/calibrators/constant.hpp>
#include <fuller/calibrators/dtp.hpp>
#include <fuller/calibrators/dwa.hpp>
#include <fuller/calibrators/grad_norm.hpp>
#include <fuller/calibrators/imtl_g.hpp>
#include <fuller/calibrators/pcgrad.hpp>
#include <fuller/calibrators/policies.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/schedules.hpp>
#include <fuller/calibrators/uniform.hpp>
#include <fuller/calibrators/weighting.hpp>
#include <fuller/calibrators/wpcgrad.hpp>

#endif  // FULLER_STANDARD
