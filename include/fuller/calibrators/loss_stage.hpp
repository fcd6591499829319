// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include <fuller/core/evidence.hpp>
#include <fuller/core/floating.hpp>
#include <fuller/core/host_device.hpp>

namespace fuller {
inline namespace v0_1 {

/// What is done to each loss before a rule, any rule, sees it and its gradient. It is the same as if the trainer transformed the
/// losses by hand, and took divisors as constants. (Other libraries add 1e-8 to a loss before its logarithm; here it is exact.)
enum class LossStage {
  none,
  log,        ///< log L_i: only relative changes count, so units do not; losses must be > 0
  initial,    ///< L_i / L_i(0), of the first step that had the task; that loss must be > 0
  l2,         ///< L_i / |g_i|: gradients of length 1
  loss,       ///< L_i / L_i: gradients relative to their losses, each of which is then 1; losses must be > 0
  loss_plus,  ///< L_i / (|g_i| L_i): both; losses must be > 0
};

namespace detail {

inline const char* name_of(LossStage stage) {
  switch (stage) {
    case LossStage::log:
      return "log";
    case LossStage::initial:
      return "initial";
    case LossStage::l2:
      return "l2";
    case LossStage::loss:
      return "loss";
    case LossStage::loss_plus:
      return "loss_plus";
    default:
      return "none";
  }
}

FULLER_HD constexpr bool reads_losses(LossStage stage) { return stage != LossStage::none && stage != LossStage::l2; }
FULLER_HD constexpr bool reads_norms(LossStage stage) { return stage == LossStage::l2 || stage == LossStage::loss_plus; }

/// What the gradient of task i is multiplied with: the derivative of its loss after the stage by its loss. It is no finite number
/// > 0 where the loss is none and the stage divides by it.
/// @param kept  the factor of the step before; 0 if there was none
template <int Tasks>
FULLER_HD double stage_factor(const Evidence<Tasks>& evidence, LossStage stage, int i, double kept) {
  if (stage == LossStage::initial) {
    return kept > 0 ? kept : 1 / evidence.losses[i];
  }
  const double by_loss = reads_losses(stage) ? 1 / evidence.losses[i] : 1;
  if (!reads_norms(stage)) {
    return by_loss;
  }
  const double norm = evidence.norm(i);
  // Policies decide what is done about a gradient of 0 or NaN.
  return norm > 0 && is_finite(norm) ? by_loss * (evidence.loss_scale / norm) : kept > 0 ? kept : 1;
}

/// The loss after the stage. A loss divided by itself is exactly 1, since rules take differences of losses.
template <int Tasks>
FULLER_HD double staged_loss(const Evidence<Tasks>& evidence, LossStage stage, int i, double kept, double factor) {
  const double loss = evidence.losses[i];
  if (stage == LossStage::log) {
    return std::log(loss);
  }
  const bool by_itself = stage == LossStage::loss || (stage == LossStage::initial && !(kept > 0));
  return by_itself && factor > 0 && is_finite(factor) ? 1 : loss * factor;
}

/// Writes the losses after the stage, if `losses` is not null, and the factors of their gradients; 1 for absent tasks. All lanes
/// of a group call it together. Not inlined: it is the same for all rules, and each kernel holds many of them.
template <class Lanes, int Tasks>
__attribute__((noinline)) FULLER_HD void apply_stage(Lanes lanes, const Evidence<Tasks>& evidence, LossStage stage,
                                                     const double* kept, double* factors, double* losses) {
  for (int i = lanes.index(); i < evidence.tasks(); i += Lanes::count) {
    const bool here = evidence.present[i] != 0;
    factors[i] = here ? stage_factor(evidence, stage, i, kept[i]) : 1;
    if (losses != nullptr) {
      losses[i] = here ? staged_loss(evidence, stage, i, kept[i], factors[i]) : 0;
    }
  }
  lanes.sync();
}

}  // namespace detail
}  // namespace v0_1
}  // namespace fuller
