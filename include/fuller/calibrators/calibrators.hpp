// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fuller/core/standard.hpp>
#if FULLER_STANDARD >= 201703L

// Every calibrator.
#include <fuller/calibrators/aligned_mtl.hpp>
#include <fuller/calibrators/balancer.hpp>
#include <fuller/calibrators/cagrad.hpp>
#include <fuller/calibrators/con_fig.hpp>
#include <fuller/calibrators/constant.hpp>
#include <fuller/calibrators/dbmtl.hpp>
#include <fuller/calibrators/dtp.hpp>
#include <fuller/calibrators/dual_proj.hpp>
#include <fuller/calibrators/dwa.hpp>
#include <fuller/calibrators/fair_grad.hpp>
#include <fuller/calibrators/famo.hpp>
#include <fuller/calibrators/gls.hpp>
#include <fuller/calibrators/go4_align.hpp>
#include <fuller/calibrators/grad_drop.hpp>
#include <fuller/calibrators/grad_norm.hpp>
#include <fuller/calibrators/grad_vac.hpp>
#include <fuller/calibrators/imtl_g.hpp>
#include <fuller/calibrators/imtl_l.hpp>
#include <fuller/calibrators/ldc.hpp>
#include <fuller/calibrators/mgda.hpp>
#include <fuller/calibrators/nash_mtl.hpp>
#include <fuller/calibrators/pcd.hpp>
#include <fuller/calibrators/pcgrad.hpp>
#include <fuller/calibrators/policies.hpp>
#include <fuller/calibrators/rlw.hpp>
#include <fuller/calibrators/rule.hpp>
#include <fuller/calibrators/schedules.hpp>
#include <fuller/calibrators/stch.hpp>
#include <fuller/calibrators/uniform.hpp>
#include <fuller/calibrators/upgrad.hpp>
#include <fuller/calibrators/uw.hpp>
#include <fuller/calibrators/weighting.hpp>
#include <fuller/calibrators/wpcgrad.hpp>

#endif  // FULLER_STANDARD
